//! Parses edit expressions: the part of Perl that people use for editing lines.

mod quoting;
mod statements;

use super::byte_set::is_word;
use super::error::EditError;
use super::syntax::{Binary, Expression, Function, Logic, Part, Statement, Variable};
use quoting::unquote;

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
}
