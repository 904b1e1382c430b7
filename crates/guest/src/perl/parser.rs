//! Parses edit expressions: the part of Perl that people use for editing lines.

use super::byte_set::is_word;
use super::error::EditError;
use super::pattern::Modifiers;
use super::regex::Regex;
use super::syntax::{
    Binary, CaseMode, Expression, Function, Logic, Part, Statement, Substitution, Transliteration, Variable,
};

const MAX_DEPTH: usize = 60;

/// Parses a whole expression.
pub(crate) fn parse(source: &[u8]) -> Result<Vec<Statement>, EditError> {
    let mut parser = Parser {
        source,
        at: 0,
        depth: 0,
    };
    let statements = parser.statements()?;
    parser.space();
    if parser.at < source.len() {
        return Err(parser.wrong("an unmatched }"));
    }
    Ok(statements)
}

struct Parser<'a> {
    source: &'a [u8],
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, EditError>;

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, what: impl Into<String>) -> EditError {
        EditError::Syntax {
            what: format!("{}{}", what.into(), self.place()),
        }
    }

    fn unsupported(&self, what: impl Into<String>) -> EditError {
        EditError::Unsupported {
            what: format!("{}{}", what.into(), self.place()),
        }
    }

    fn place(&self) -> String {
        let near: String = String::from_utf8_lossy(self.rest()).chars().take(20).collect();
        if near.is_empty() {
            " at the end".into()
        } else {
            format!(" before {near:?}")
        }
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn space(&mut self) {
        loop {
            match self.peek() {
                Some(b) if b.is_ascii_whitespace() => self.at += 1,
                Some(b'#') => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Takes an operator or bracket, after white space.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token.as_bytes());
        if found {
            self.at += token.len();
        }
        found
    }

    /// The next token begins so, and does not go on with one of `unless`.
    fn take_unless(&mut self, token: &str, unless: &[u8]) -> bool {
        self.space();
        let found = self.rest().starts_with(token.as_bytes())
            && !self
                .source
                .get(self.at + token.len())
                .is_some_and(|b| unless.contains(b));
        if found {
            self.at += token.len();
        }
        found
    }

    fn word_here(&mut self) -> &[u8] {
        self.space();
        let rest = self.rest();
        let len = match rest.first() {
            Some(b) if b.is_ascii_alphabetic() || *b == b'_' => {
                rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len())
            }
            _ => 0,
        };
        rest.get(..len).unwrap_or_default()
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.word_here() == word.as_bytes();
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.wrong(format!("{token} expected")))
        }
    }

    // Statements

    fn statements(&mut self) -> Parsed<Vec<Statement>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.unsupported("nesting that deep"));
        }
        let mut all = Vec::new();
        loop {
            self.space();
            match self.peek() {
                None | Some(b'}') => break,
                Some(b';') => self.at += 1,
                Some(_) => {
                    let (statement, is_block) = self.statement()?;
                    all.push(statement);
                    self.space();
                    if !is_block && !matches!(self.peek(), None | Some(b';' | b'}')) {
                        return Err(self.wrong("; or an operator expected"));
                    }
                }
            }
        }
        self.depth -= 1;
        Ok(all)
    }

    fn block(&mut self) -> Parsed<Vec<Statement>> {
        self.expect("{")?;
        let statements = self.statements()?;
        self.expect("}")?;
        Ok(statements)
    }

    fn statement(&mut self) -> Parsed<(Statement, bool)> {
        let word = String::from_utf8_lossy(self.word_here()).into_owned();
        match word.as_str() {
            "if" | "unless" => {
                self.at += word.len();
                return Ok((self.if_statement(word == "unless")?, true));
            }
            "while" | "until" | "for" | "foreach" | "sub" | "use" | "no" | "BEGIN" | "END" | "local"
            | "our" | "return" | "redo" | "do" | "eval" => {
                return Err(self.unsupported(word));
            }
            _ => {}
        }
        let statement = match word.as_str() {
            "next" => {
                self.at += 4;
                Statement::Next
            }
            "last" => {
                self.at += 4;
                Statement::Last
            }
            _ => Statement::Expression(self.expression()?),
        };
        let modifier = String::from_utf8_lossy(self.word_here()).into_owned();
        let condition = match modifier.as_str() {
            "if" | "unless" => {
                self.at += modifier.len();
                self.expression()?
            }
            "while" | "until" | "for" | "foreach" => return Err(self.unsupported(modifier)),
            _ => return Ok((statement, false)),
        };
        let condition = if modifier == "if" {
            condition
        } else {
            Expression::Not(Box::new(condition))
        };
        Ok((
            Statement::If {
                condition,
                then: vec![statement],
                otherwise: Vec::new(),
            },
            false,
        ))
    }

    fn if_statement(&mut self, negated: bool) -> Parsed<Statement> {
        self.expect("(")?;
        let condition = self.expression()?;
        self.expect(")")?;
        let condition = if negated {
            Expression::Not(Box::new(condition))
        } else {
            condition
        };
        let then = self.block()?;
        let otherwise = if self.take_word("elsif") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(self.unsupported("nesting that deep"));
            }
            let inner = vec![self.if_statement(false)?];
            self.depth -= 1;
            inner
        } else if self.take_word("else") {
            self.block()?
        } else {
            Vec::new()
        };
        Ok(Statement::If {
            condition,
            then,
            otherwise,
        })
    }

    // Expressions, from the loosest operator to the tightest

    fn expression(&mut self) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.unsupported("nesting that deep"));
        }
        let mut left = self.low_and()?;
        loop {
            if self.take_word("or") {
                left = Expression::Logic(Logic::Or, Box::new(left), Box::new(self.low_and()?));
            } else if self.word_here() == b"xor" {
                return Err(self.unsupported("xor"));
            } else {
                break;
            }
        }
        self.depth -= 1;
        Ok(left)
    }

    fn low_and(&mut self) -> Parsed<Expression> {
        let mut left = self.low_not()?;
        while self.take_word("and") {
            left = Expression::Logic(Logic::And, Box::new(left), Box::new(self.low_not()?));
        }
        Ok(left)
    }

    fn low_not(&mut self) -> Parsed<Expression> {
        let mut negations = 0usize;
        while self.take_word("not") {
            negations += 1;
        }
        let mut inner = self.assignment()?;
        for _ in 0..negations {
            inner = Expression::Not(Box::new(inner));
        }
        Ok(inner)
    }

    fn assignment(&mut self) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.unsupported("nesting that deep"));
        }
        let left = self.choice()?;
        self.space();
        let operators: [(&str, Option<Binary>, Option<Logic>); 11] = [
            ("||=", None, Some(Logic::Or)),
            ("&&=", None, Some(Logic::And)),
            ("//=", None, Some(Logic::DefinedOr)),
            (".=", Some(Binary::Concat), None),
            ("+=", Some(Binary::Add), None),
            ("-=", Some(Binary::Subtract), None),
            ("*=", Some(Binary::Multiply), None),
            ("/=", Some(Binary::Divide), None),
            ("%=", Some(Binary::Remainder), None),
            ("x=", Some(Binary::Repeat), None),
            ("=", None, None),
        ];
        let mut result = None;
        for (token, binary, logic) in operators {
            if !self.take_unless(token, if token == "=" { b"=~" } else { b"" }) {
                continue;
            }
            let Expression::Variable(variable) = left.clone() else {
                return Err(self.unsupported("assigning to anything but a variable"));
            };
            if variable == "lineno" {
                return Err(self.unsupported("changing $lineno"));
            }
            let value = Box::new(self.assignment()?);
            result = Some(match (binary, logic) {
                (_, Some(logic)) => Expression::AssignLogic {
                    variable,
                    logic,
                    value,
                },
                (Some(binary), None) => Expression::Assign {
                    value: Box::new(Expression::Binary(binary, Box::new(left.clone()), value)),
                    variable,
                },
                (None, None) => Expression::Assign { variable, value },
            });
            break;
        }
        self.depth -= 1;
        Ok(result.unwrap_or(left))
    }

    fn choice(&mut self) -> Parsed<Expression> {
        let condition = self.logical_or()?;
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = Box::new(self.assignment()?);
        self.expect(":")?;
        let no = Box::new(self.assignment()?);
        Ok(Expression::Choice {
            condition: Box::new(condition),
            yes,
            no,
        })
    }

    fn logical_or(&mut self) -> Parsed<Expression> {
        let mut left = self.logical_and()?;
        loop {
            let logic = if self.take_unless("||", b"=") {
                Logic::Or
            } else if self.take_unless("//", b"=") {
                Logic::DefinedOr
            } else {
                return Ok(left);
            };
            left = Expression::Logic(logic, Box::new(left), Box::new(self.logical_and()?));
        }
    }

    fn logical_and(&mut self) -> Parsed<Expression> {
        let mut left = self.equality()?;
        while self.take_unless("&&", b"=") {
            left = Expression::Logic(Logic::And, Box::new(left), Box::new(self.equality()?));
        }
        Ok(left)
    }

    fn equality(&mut self) -> Parsed<Expression> {
        let mut left = self.relation()?;
        loop {
            if self.take("<=>") || self.word_here() == b"cmp" {
                return Err(self.unsupported("<=> and cmp"));
            }
            let operator = if self.take_unless("==", b"") {
                Binary::NumberEqual
            } else if self.take_unless("!=", b"") {
                Binary::NumberNotEqual
            } else if self.take_word("eq") {
                Binary::TextEqual
            } else if self.take_word("ne") {
                Binary::TextNotEqual
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new(left), Box::new(self.relation()?));
        }
    }

    fn relation(&mut self) -> Parsed<Expression> {
        let mut left = self.sum()?;
        loop {
            let operator = if self.take_unless("<=", b">") {
                Binary::NumberLessOrEqual
            } else if self.take(">=") {
                Binary::NumberGreaterOrEqual
            } else if self.take_unless("<", b"=<") {
                Binary::NumberLess
            } else if self.take_unless(">", b">") {
                Binary::NumberGreater
            } else if self.take_word("lt") {
                Binary::TextLess
            } else if self.take_word("le") {
                Binary::TextLessOrEqual
            } else if self.take_word("gt") {
                Binary::TextGreater
            } else if self.take_word("ge") {
                Binary::TextGreaterOrEqual
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new(left), Box::new(self.sum()?));
        }
    }

    fn sum(&mut self) -> Parsed<Expression> {
        let mut left = self.product()?;
        loop {
            if self.take("..") {
                return Err(self.unsupported("the range operator"));
            }
            let operator = if self.take_unless("+", b"=+") {
                Binary::Add
            } else if self.take_unless("-", b"=-") {
                Binary::Subtract
            } else if self.take_unless(".", b"=") {
                Binary::Concat
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Parsed<Expression> {
        let mut left = self.binding()?;
        loop {
            if self.take("**") {
                return Err(self.unsupported("**"));
            }
            let operator = if self.take_unless("*", b"=") {
                Binary::Multiply
            } else if self.take_unless("/", b"=/") {
                Binary::Divide
            } else if self.take_unless("%", b"=") {
                Binary::Remainder
            } else if self.word_here() == b"x" && self.source.get(self.at + 1) != Some(&b'=') {
                self.at += 1;
                Binary::Repeat
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new(left), Box::new(self.binding()?));
        }
    }

    fn binding(&mut self) -> Parsed<Expression> {
        let left = self.unary()?;
        let negated = if self.take("=~") {
            false
        } else if self.take("!~") {
            true
        } else {
            return Ok(left);
        };
        let right = self.unary()?;
        let bound = match right {
            Expression::Match {
                target: None,
                regex,
                global,
                negated,
            } => Expression::Match {
                target: Some(Box::new(left)),
                regex,
                global,
                negated,
            },
            Expression::Substitute { substitution, .. } => match left {
                Expression::Variable(target) if target != "lineno" => {
                    Expression::Substitute { target, substitution }
                }
                _ => return Err(self.unsupported("s/// on anything but a variable")),
            },
            Expression::Transliterate { table, .. } => match left {
                Expression::Variable(target) if target != "lineno" => {
                    Expression::Transliterate { target, table }
                }
                _ => return Err(self.unsupported("tr/// on anything but a variable")),
            },
            _ => return Err(self.unsupported("a pattern that is computed")),
        };
        Ok(if negated {
            Expression::Not(Box::new(bound))
        } else {
            bound
        })
    }

    fn unary(&mut self) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.unsupported("nesting that deep"));
        }
        let result = if self.take_unless("!", b"~=") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.take("++") {
            Expression::Step {
                variable: self.own_variable()?,
                by: 1.0,
                before: true,
            }
        } else if self.take("--") {
            Expression::Step {
                variable: self.own_variable()?,
                by: -1.0,
                before: true,
            }
        } else if self.take_unless("-", b"=") {
            if self.peek().is_some_and(|b| b.is_ascii_alphabetic()) {
                return Err(self.unsupported("a file test"));
            }
            Expression::Negate(Box::new(self.unary()?))
        } else {
            let primary = self.primary()?;
            let by = if self.take("++") {
                1.0
            } else if self.take("--") {
                -1.0
            } else {
                0.0
            };
            match primary {
                primary if by == 0.0 => primary,
                Expression::Variable(variable) if variable != "lineno" => Expression::Step {
                    variable,
                    by,
                    before: false,
                },
                _ => return Err(self.wrong("++ and -- need a variable")),
            }
        };
        self.depth -= 1;
        Ok(result)
    }

    fn own_variable(&mut self) -> Parsed<Variable> {
        match self.primary()? {
            Expression::Variable(variable) if variable != "lineno" => Ok(variable),
            _ => Err(self.wrong("a variable expected")),
        }
    }

    fn primary(&mut self) -> Parsed<Expression> {
        self.space();
        let Some(byte) = self.peek() else {
            return Err(self.wrong("something expected"));
        };
        match byte {
            b'(' => {
                self.at += 1;
                let inner = self.expression()?;
                if self.take(",") {
                    return Err(self.unsupported("a list"));
                }
                self.expect(")")?;
                Ok(inner)
            }
            b'$' => {
                self.at += 1;
                self.variable()
            }
            b'"' => {
                let text = self.delimited(b'"')?;
                Ok(Expression::Text(self.parts(&text, false)?))
            }
            b'\'' => {
                let text = self.delimited(b'\'')?;
                Ok(Expression::Text(vec![Part::Literal(unquote(&text))]))
            }
            b'/' => self.match_operator(b'/'),
            b'0'..=b'9' => self.number(),
            b'.' if self.source.get(self.at + 1).is_some_and(u8::is_ascii_digit) => self.number(),
            b if b.is_ascii_alphabetic() || b == b'_' => self.named(),
            b'@' | b'%' | b'&' => Err(self.unsupported("arrays, hashes and calls")),
            b'<' => Err(self.unsupported("reading files")),
            b'`' => Err(self.unsupported("running commands")),
            _ => Err(self.wrong("an expression expected")),
        }
    }

    /// Behind `$`.
    fn variable(&mut self) -> Parsed<Expression> {
        match self.peek() {
            Some(b'&') => {
                self.at += 1;
                Ok(Expression::Capture(0))
            }
            Some(b'.') => {
                self.at += 1;
                Ok(Expression::Variable("lineno".into()))
            }
            Some(b'{') => {
                self.at += 1;
                let inner = self.plain_name()?;
                self.expect("}")?;
                Ok(inner)
            }
            Some(b) if is_word(b) => {
                let name = self.plain_name()?;
                if matches!(self.peek(), Some(b'[' | b'{')) || self.rest().starts_with(b"->") {
                    return Err(self.unsupported("arrays, hashes and references"));
                }
                if self.rest().starts_with(b"::") {
                    return Err(self.unsupported("packages"));
                }
                Ok(name)
            }
            _ => Err(self.unsupported("this variable")),
        }
    }

    fn plain_name(&mut self) -> Parsed<Expression> {
        let rest = self.rest();
        let len = rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len());
        let name = String::from_utf8_lossy(rest.get(..len).unwrap_or_default()).into_owned();
        self.at += len;
        if name.is_empty() {
            return Err(self.unsupported("this variable"));
        }
        if name.bytes().all(|b| b.is_ascii_digit()) {
            let number = name.parse().map_err(|_| self.wrong("a group number too large"))?;
            if number == 0 {
                return Err(self.unsupported("$0"));
            }
            return Ok(Expression::Capture(number));
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wrong("a name that starts with a digit"));
        }
        Ok(Expression::Variable(name))
    }

    fn number(&mut self) -> Parsed<Expression> {
        let rest = self.rest();
        if rest.starts_with(b"0") && rest.get(1).is_some_and(|b| b.is_ascii_alphanumeric()) {
            return Err(self.unsupported("a number that is not decimal"));
        }
        let mut len = 0;
        let mut seen_dot = false;
        while let Some(byte) = rest.get(len) {
            match byte {
                b'0'..=b'9' | b'_' => {}
                b'.' if !seen_dot && rest.get(len + 1).is_none_or(|b| *b != b'.') => seen_dot = true,
                _ => break,
            }
            len += 1;
        }
        let text: String = rest
            .get(..len)
            .unwrap_or_default()
            .iter()
            .filter(|b| **b != b'_')
            .map(|b| char::from(*b))
            .collect();
        let value = text
            .parse()
            .map_err(|_| self.wrong("a number that cannot be read"))?;
        self.at += len;
        Ok(Expression::Number(value))
    }

    /// A word: a quoting operator, a function.
    fn named(&mut self) -> Parsed<Expression> {
        let word = String::from_utf8_lossy(self.word_here()).into_owned();
        let start = self.at;
        self.at += word.len();
        let quotes = matches!(word.as_str(), "s" | "m" | "y" | "tr" | "q" | "qq" | "qr");
        // A word that ends in a digit or letter may run into its delimiter: none is one here.
        if quotes {
            self.space_before_delimiter();
            let fat_comma = self.rest().starts_with(b"=>");
            if let (Some(delimiter), false) = (self.peek(), fat_comma)
                && !is_word(delimiter)
            {
                return self.quoting(&word, delimiter);
            }
            self.at = start;
            return Err(self.unsupported(format!("{word} with a word character for a delimiter")));
        }
        let function = match word.as_str() {
            "lc" => Function::LowerCase,
            "uc" => Function::UpperCase,
            "lcfirst" => Function::LowerFirst,
            "ucfirst" => Function::UpperFirst,
            "length" => Function::Length,
            "quotemeta" => Function::QuoteMeta,
            "defined" => Function::Defined,
            "my" => {
                self.expect("$")?;
                return self.variable();
            }
            "chomp" => {
                let bracket = self.take("(");
                self.space();
                let variable = match self.peek() {
                    Some(b'$') => self.own_variable()?,
                    _ => "_".into(),
                };
                if bracket {
                    self.expect(")")?;
                }
                return Ok(Expression::Chomp(variable));
            }
            "print" => return self.print(),
            "undef" => return Ok(Expression::Variable("undef".into())),
            _ => {
                self.at = start;
                return Err(self.unsupported(word));
            }
        };
        let argument = if self.take("(") {
            let inner = if self.take(")") {
                None
            } else {
                Some(self.expression()?)
            };
            if inner.is_some() {
                self.expect(")")?;
            }
            inner
        } else {
            self.space();
            match self.peek() {
                None | Some(b';' | b'}' | b')' | b'=' | b'?' | b':' | b'<' | b'>' | b'|' | b'&') => None,
                Some(b) if b.is_ascii_alphabetic() => {
                    let next = self.word_here();
                    let ends = [
                        &b"if"[..],
                        b"unless",
                        b"and",
                        b"or",
                        b"eq",
                        b"ne",
                        b"lt",
                        b"gt",
                        b"le",
                        b"ge",
                    ];
                    if ends.contains(&next) {
                        None
                    } else {
                        Some(self.sum()?)
                    }
                }
                Some(_) => Some(self.sum()?),
            }
        };
        let argument = argument.unwrap_or_else(|| Expression::Variable("_".into()));
        Ok(Expression::Call(function, Box::new(argument)))
    }

    fn print(&mut self) -> Parsed<Expression> {
        let bracket = self.take("(");
        let mut values = Vec::new();
        self.space();
        let ends = |p: &mut Self| {
            matches!(p.peek(), None | Some(b';' | b'}' | b')'))
                || [&b"if"[..], b"unless", b"and", b"or"].contains(&p.word_here())
        };
        if !ends(self) {
            if self.word_here().iter().any(u8::is_ascii_uppercase) {
                return Err(self.unsupported("printing to a file handle"));
            }
            loop {
                values.push(self.assignment()?);
                if !self.take(",") {
                    break;
                }
            }
        }
        if bracket {
            self.expect(")")?;
        }
        if values.is_empty() {
            values.push(Expression::Variable("_".into()));
        }
        Ok(Expression::Print(values))
    }

    // Quoting operators

    /// White space is allowed between the operator and its delimiter, but then `#` starts a comment.
    fn space_before_delimiter(&mut self) {
        if self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.space();
        }
    }

    fn quoting(&mut self, word: &str, delimiter: u8) -> Parsed<Expression> {
        match word {
            "m" => self.match_operator(delimiter),
            "q" => {
                let text = self.delimited(delimiter)?;
                Ok(Expression::Text(vec![Part::Literal(unquote(&text))]))
            }
            "qq" => {
                let text = self.delimited(delimiter)?;
                Ok(Expression::Text(self.parts(&text, false)?))
            }
            "s" => {
                let pattern = self.delimited(delimiter)?;
                let replacement = self.second(delimiter)?;
                let flags = self.flags();
                let mut modifiers = Modifiers::default();
                let (mut global, mut return_result) = (false, false);
                for flag in flags {
                    match flag {
                        b'g' => global = true,
                        b'r' => return_result = true,
                        b'e' => return Err(self.unsupported("the flag e of s///")),
                        other => self.modifier(other, &mut modifiers)?,
                    }
                }
                if pattern.is_empty() {
                    return Err(self.unsupported("an empty pattern"));
                }
                let regex = Regex::new(&pattern, modifiers)?;
                let replacement = if delimiter == b'\'' {
                    vec![Part::Literal(replacement)]
                } else {
                    self.parts(&replacement, true)?
                };
                check_groups(&replacement, &regex)?;
                Ok(Expression::Substitute {
                    target: "_".into(),
                    substitution: Box::new(Substitution {
                        regex,
                        replacement,
                        global,
                        return_result,
                    }),
                })
            }
            "y" | "tr" => {
                let from = self.delimited(delimiter)?;
                let to = self.second(delimiter)?;
                let (mut complement, mut delete, mut squeeze) = (false, false, false);
                for flag in self.flags() {
                    match flag {
                        b'c' => complement = true,
                        b'd' => delete = true,
                        b's' => squeeze = true,
                        other => {
                            return Err(self.unsupported(format!("the flag {} of tr///", char::from(other))));
                        }
                    }
                }
                let from = self.list(&from)?;
                let to = self.list(&to)?;
                let to = if to.is_empty() && !delete && !complement {
                    from.clone()
                } else {
                    to
                };
                let table = if to.is_empty() && complement && !delete {
                    // Everything stands for itself: it only counts, or squeezes.
                    let others: Vec<u8> = (0..=255u8).filter(|b| !from.contains(b)).collect();
                    Transliteration::new(&others, &others, false, false, squeeze)
                } else {
                    Transliteration::new(&from, &to, complement, delete, squeeze)
                };
                Ok(Expression::Transliterate {
                    target: "_".into(),
                    table: Box::new(table),
                })
            }
            _ => Err(self.unsupported(word)),
        }
    }

    fn match_operator(&mut self, delimiter: u8) -> Parsed<Expression> {
        let pattern = self.delimited(delimiter)?;
        let mut modifiers = Modifiers::default();
        let mut global = false;
        for flag in self.flags() {
            match flag {
                b'g' => global = true,
                b'c' | b'r' | b'e' => {
                    return Err(self.unsupported(format!("the flag {} of m//", char::from(flag))));
                }
                other => self.modifier(other, &mut modifiers)?,
            }
        }
        if global {
            return Err(self.unsupported("the flag g of m//"));
        }
        if pattern.is_empty() {
            return Err(self.unsupported("an empty pattern"));
        }
        let regex = Regex::new(&pattern, modifiers)?;
        Ok(Expression::Match {
            target: None,
            regex,
            global,
            negated: false,
        })
    }

    fn modifier(&self, flag: u8, modifiers: &mut Modifiers) -> Parsed<()> {
        match flag {
            b'i' => modifiers.ignore_case = true,
            b'm' => modifiers.multi_line = true,
            b's' => modifiers.dot_all = true,
            b'x' => modifiers.extended = true,
            // Compile once; ASCII rules, which are ours anyhow.
            b'o' | b'a' => {}
            other => return Err(self.wrong(format!("an unknown flag {}", char::from(other)))),
        }
        Ok(())
    }

    fn flags(&mut self) -> Vec<u8> {
        let rest = self.rest();
        let len = rest
            .iter()
            .position(|b| !b.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let flags = rest.get(..len).unwrap_or_default().to_vec();
        self.at += len;
        flags
    }

    /// From an opening delimiter (at the position) to its end; the delimiter itself unescaped where it is no bracket.
    fn delimited(&mut self, open: u8) -> Parsed<Vec<u8>> {
        self.at += 1;
        let close = closing(open);
        let mut depth = 0usize;
        let mut text = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.wrong(format!(
                    "no {} to end what {} began",
                    char::from(close),
                    char::from(open)
                )));
            };
            self.at += 1;
            if byte == b'\\' {
                let Some(next) = self.peek() else {
                    return Err(self.wrong("a backslash at the end"));
                };
                self.at += 1;
                // Escaped, a delimiter stands for itself: with what meaning it would have as a plain character of the
                // text, so that s|a\|b|c| matches the character. Brackets keep their backslash.
                if next != open || open != close || is_special(open) {
                    text.push(b'\\');
                }
                text.push(next);
                continue;
            }
            if open != close && byte == open {
                depth += 1;
            } else if byte == close {
                match depth.checked_sub(1) {
                    None => return Ok(text),
                    Some(less) => depth = less,
                }
            }
            text.push(byte);
        }
    }

    /// The second half of `s` and `tr`.
    fn second(&mut self, open: u8) -> Parsed<Vec<u8>> {
        if closing(open) == open {
            self.at -= 1;
            return self.delimited(open);
        }
        self.space();
        match self.peek() {
            Some(open) if !is_word(open) => self.delimited(open),
            _ => Err(self.wrong("the second half is missing")),
        }
    }

    /// The bytes of a `tr` list.
    fn list(&self, text: &[u8]) -> Parsed<Vec<u8>> {
        // (byte, whether a minus there is an operator)
        let mut units: Vec<(u8, bool)> = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at).copied() {
            at += 1;
            if byte == b'\\' {
                let (value, used) = self.escape(text.get(at..).unwrap_or_default())?;
                units.push((value, false));
                at += used;
            } else {
                units.push((byte, byte == b'-'));
            }
        }
        let mut bytes = Vec::new();
        let mut at = 0;
        while let Some((byte, _)) = units.get(at).copied() {
            match (units.get(at + 1), units.get(at + 2)) {
                (Some((_, true)), Some((high, _))) => {
                    if *high < byte {
                        return Err(self.wrong("a range in tr/// that ends before it starts"));
                    }
                    bytes.extend(byte..=*high);
                    at += 3;
                }
                _ => {
                    bytes.push(byte);
                    at += 1;
                }
            }
        }
        Ok(bytes)
    }

    /// The byte that an escape (behind its backslash) stands for, and how many bytes it takes.
    fn escape(&self, text: &[u8]) -> Parsed<(u8, usize)> {
        let Some(byte) = text.first().copied() else {
            return Ok((b'\\', 0));
        };
        Ok(match byte {
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'r' => (b'\r', 1),
            b'f' => (12, 1),
            b'a' => (7, 1),
            b'e' => (27, 1),
            b'0'..=b'7' => {
                let digits = text
                    .iter()
                    .take(3)
                    .take_while(|b| matches!(b, b'0'..=b'7'))
                    .count();
                let value = text
                    .iter()
                    .take(digits)
                    .fold(0u32, |value, b| value * 8 + u32::from(b - b'0'));
                (
                    u8::try_from(value).map_err(|_| self.unsupported("a character above \\xff"))?,
                    digits,
                )
            }
            b'x' => {
                let braced = text.get(1) == Some(&b'{');
                let start = if braced { 2 } else { 1 };
                let limit = if braced { 8 } else { 2 };
                let digits = text
                    .get(start..)
                    .unwrap_or_default()
                    .iter()
                    .take(limit)
                    .take_while(|b| b.is_ascii_hexdigit())
                    .count();
                let hex =
                    String::from_utf8_lossy(text.get(start..start + digits).unwrap_or_default()).into_owned();
                let value = if hex.is_empty() {
                    0
                } else {
                    u32::from_str_radix(&hex, 16).unwrap_or(u32::MAX)
                };
                if braced && text.get(start + digits) != Some(&b'}') {
                    return Err(self.wrong("a \\x{ without end"));
                }
                let value = u8::try_from(value).map_err(|_| self.unsupported("a character above \\xff"))?;
                (value, start + digits + usize::from(braced))
            }
            b'N' | b'c' | b'o' => return Err(self.unsupported(format!("\\{}", char::from(byte)))),
            other => (other, 1),
        })
    }

    /// Splits a string with variables and escapes. In a replacement, `\1` means `$1`.
    fn parts(&self, text: &[u8], replacement: bool) -> Parsed<Vec<Part>> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at).copied() {
            at += 1;
            let rest = text.get(at..).unwrap_or_default();
            let part = match byte {
                b'\\' => match rest.first() {
                    Some(digit @ b'1'..=b'9') if replacement => {
                        at += 1;
                        Part::Capture(usize::from(digit - b'0'))
                    }
                    Some(letter @ (b'U' | b'L' | b'Q' | b'E' | b'u' | b'l' | b'F')) => {
                        at += 1;
                        match letter {
                            b'U' => Part::CaseOn(CaseMode::Upper),
                            b'L' | b'F' => Part::CaseOn(CaseMode::Lower),
                            b'Q' => Part::CaseOn(CaseMode::Quote),
                            b'u' => Part::NextUpper,
                            b'l' => Part::NextLower,
                            _ => Part::CaseOff,
                        }
                    }
                    _ => {
                        let (value, used) = self.escape(rest)?;
                        at += used;
                        literal.push(value);
                        continue;
                    }
                },
                b'$' => {
                    let mut inner = Parser {
                        source: text,
                        at,
                        depth: self.depth,
                    };
                    if !inner.peek().is_some_and(|b| is_word(b) || b == b'{' || b == b'&') {
                        if inner.peek().is_none() {
                            literal.push(b'$');
                            continue;
                        }
                        return Err(
                            self.unsupported("a variable of this name (write \\$ for the character $):")
                        );
                    }
                    let variable = inner.variable()?;
                    at = inner.at;
                    match variable {
                        Expression::Variable(name) => Part::Variable(name),
                        Expression::Capture(number) => Part::Capture(number),
                        _ => return Err(self.unsupported("this variable")),
                    }
                }
                b'@' if rest.first().is_some_and(|b| is_word(*b) || b":'{$+-".contains(b)) => {
                    return Err(self.unsupported("an array in a string (write \\@ for the character @):"));
                }
                other => {
                    literal.push(other);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(part);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(parts)
    }
}

/// In a pattern, an escaped delimiter that is special must stay escaped.
fn is_special(byte: u8) -> bool {
    b".^$*+?|{}[]()@".contains(&byte)
}

fn closing(open: u8) -> u8 {
    match open {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        other => other,
    }
}

/// In single quotes only `\\` and the escaped delimiter (already resolved) mean something.
fn unquote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && bytes.peek() == Some(&b'\\') {
            bytes.next();
        }
        out.push(byte);
    }
    out
}

/// A reference in a replacement to a group that the pattern lacks is surely a mistake.
fn check_groups(parts: &[Part], regex: &Regex) -> Result<(), EditError> {
    for part in parts {
        if let Part::Capture(group) = part
            && *group > regex.groups()
        {
            return Err(EditError::Syntax {
                what: format!(
                    "${group} is used, but the pattern has {} group(s)",
                    regex.groups()
                ),
            });
        }
    }
    Ok(())
}
