//! Runs an edit expression over the lines of a file.

use super::error::EditError;
use super::regex::Captures;
use super::syntax::{
    Binary, CaseMode, Expression, Function, Logic, Mapping, Part, Statement, Substitution, Transliteration,
};
use std::collections::BTreeMap;

/// Steps of matching that one file may take: some seconds.
pub(crate) const MATCH_BUDGET: u64 = 300_000_000;
/// Largest string that `x` and repeated doubling may make.
const MAX_TEXT: usize = 64 << 20;

/// Runs the statements on each line, its newline included, and gathers what is printed. `budget`: the steps of matching
/// that it may take.
pub(crate) fn run(statements: &[Statement], text: &[u8], budget: u64) -> Result<Vec<u8>, EditError> {
    let mut state = State {
        line: Value::Undefined,
        line_number: 0,
        variables: BTreeMap::new(),
        captured: None,
        output: Vec::with_capacity(text.len()),
        budget,
    };
    for line in text.split_inclusive(|b| *b == b'\n') {
        state.line_number += 1;
        state.line = Value::Text(line.to_vec());
        state.captured = None;
        match state.statements(statements)? {
            Flow::On => {
                let line = state.line.to_text();
                state.print(&line)?;
            }
            Flow::Next => {}
            Flow::Last => break,
        }
    }
    Ok(state.output)
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Undefined,
    Number(f64),
    Text(Vec<u8>),
}

impl Value {
    fn truth(value: bool) -> Self {
        if value {
            Self::Number(1.0)
        } else {
            Self::Text(Vec::new())
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Undefined => false,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !matches!(text.as_slice(), b"" | b"0"),
        }
    }

    fn to_text(&self) -> Vec<u8> {
        match self {
            Self::Undefined => Vec::new(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number_text(*number).into_bytes(),
        }
    }

    fn to_number(&self) -> f64 {
        match self {
            Self::Undefined => 0.0,
            Self::Number(number) => *number,
            Self::Text(text) => leading_number(text),
        }
    }
}

fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{}", number as i64);
    }
    // 15 significant digits, as Perl prints them.
    let magnitude = number.abs().log10().floor();
    if (-5.0..15.0).contains(&magnitude) {
        let digits = (14.0 - magnitude) as usize;
        let text = format!("{number:.digits$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{number:e}")
}

fn leading_number(text: &[u8]) -> f64 {
    let text = text.trim_ascii_start();
    let mut len = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let mut seen_dot = false;
    while let Some(byte) = text.get(len) {
        match byte {
            b'0'..=b'9' => {}
            b'.' if !seen_dot => seen_dot = true,
            _ => break,
        }
        len += 1;
    }
    std::str::from_utf8(text.get(..len).unwrap_or_default())
        .ok()
        .and_then(|t| t.parse().ok())
        .unwrap_or(0.0)
}

enum Flow {
    On,
    Next,
    Last,
}

struct State {
    line: Value,
    line_number: u64,
    variables: BTreeMap<String, Value>,
    captured: Option<(Vec<u8>, Captures)>,
    output: Vec<u8>,
    budget: u64,
}

type Evaluated = Result<Value, EditError>;

impl State {
    fn statements(&mut self, statements: &[Statement]) -> Result<Flow, EditError> {
        for statement in statements {
            match statement {
                Statement::Expression(expression) => {
                    self.value(expression)?;
                }
                Statement::If {
                    condition,
                    then,
                    otherwise,
                } => {
                    let branch = if self.value(condition)?.is_true() {
                        then
                    } else {
                        otherwise
                    };
                    match self.statements(branch)? {
                        Flow::On => {}
                        other => return Ok(other),
                    }
                }
                Statement::Next => return Ok(Flow::Next),
                Statement::Last => return Ok(Flow::Last),
            }
        }
        Ok(Flow::On)
    }

    fn print(&mut self, text: &[u8]) -> Result<(), EditError> {
        if self.output.len().saturating_add(text.len()) > 4 * MAX_TEXT {
            return Err(EditError::TooMuchWork);
        }
        self.output.extend_from_slice(text);
        Ok(())
    }

    fn get(&self, name: &str) -> Value {
        match name {
            "_" => self.line.clone(),
            "lineno" => Value::Number(self.line_number as f64),
            _ => self.variables.get(name).cloned().unwrap_or(Value::Undefined),
        }
    }

    fn set(&mut self, name: &str, value: Value) -> Result<(), EditError> {
        if let Value::Text(text) = &value
            && text.len() > MAX_TEXT
        {
            return Err(EditError::TooMuchWork);
        }
        if name == "_" {
            self.line = value;
        } else {
            self.variables.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn capture(&self, group: usize) -> Value {
        let Some((text, captures)) = &self.captured else {
            return Value::Undefined;
        };
        match captures
            .range(group)
            .and_then(|(start, end)| text.get(start..end))
        {
            Some(found) => Value::Text(found.to_vec()),
            None => Value::Undefined,
        }
    }

    fn value(&mut self, expression: &Expression) -> Evaluated {
        Ok(match expression {
            Expression::Number(number) => Value::Number(*number),
            Expression::Text(parts) => Value::Text(self.text(parts)),
            Expression::Variable(name) => self.get(name),
            Expression::Capture(group) => self.capture(*group),
            Expression::Match {
                target,
                regex,
                negated,
                ..
            } => {
                let text = match target {
                    Some(target) => self.value(target)?.to_text(),
                    None => self.line.to_text(),
                };
                let found = regex.find(&text, 0, None, &mut self.budget)?;
                let matched = found.is_some();
                if let Some(captures) = found {
                    self.captured = Some((text, captures));
                }
                Value::truth(matched != *negated)
            }
            Expression::Substitute { target, substitution } => self.substitute(target, substitution)?,
            Expression::Transliterate { target, table } => self.transliterate(target, table)?,
            Expression::Assign { variable, value } => {
                let value = self.value(value)?;
                self.set(variable, value.clone())?;
                value
            }
            Expression::AssignLogic {
                variable,
                logic,
                value,
            } => {
                let old = self.get(variable);
                if self.decided(*logic, &old) {
                    return Ok(old);
                }
                let value = self.value(value)?;
                self.set(variable, value.clone())?;
                value
            }
            Expression::Step { variable, by, before } => {
                let old = self.get(variable).to_number();
                self.set(variable, Value::Number(old + by))?;
                Value::Number(if *before { old + by } else { old })
            }
            Expression::Not(inner) => Value::truth(!self.value(inner)?.is_true()),
            Expression::Negate(inner) => Value::Number(-self.value(inner)?.to_number()),
            Expression::Binary(operator, left, right) => {
                let left = self.value(left)?;
                let right = self.value(right)?;
                binary(*operator, &left, &right)?
            }
            Expression::Logic(logic, left, right) => {
                let left = self.value(left)?;
                if self.decided(*logic, &left) {
                    left
                } else {
                    self.value(right)?
                }
            }
            Expression::Choice { condition, yes, no } => {
                if self.value(condition)?.is_true() {
                    self.value(yes)?
                } else {
                    self.value(no)?
                }
            }
            Expression::Call(function, argument) => {
                let argument = self.value(argument)?;
                call(*function, &argument)
            }
            Expression::Chomp(variable) => {
                let mut text = self.get(variable).to_text();
                let removed = text.last() == Some(&b'\n');
                if removed {
                    text.pop();
                    self.set(variable, Value::Text(text))?;
                }
                Value::Number(if removed { 1.0 } else { 0.0 })
            }
            Expression::Print(values) => {
                for value in values {
                    let text = self.value(value)?.to_text();
                    self.print(&text)?;
                }
                Value::Number(1.0)
            }
        })
    }

    /// Whether the first operand is the result already.
    fn decided(&self, logic: Logic, left: &Value) -> bool {
        match logic {
            Logic::And => !left.is_true(),
            Logic::Or => left.is_true(),
            Logic::DefinedOr => *left != Value::Undefined,
        }
    }

    fn substitute(&mut self, target: &str, substitution: &Substitution) -> Evaluated {
        let text = self.get(target).to_text();
        let mut out = Vec::new();
        let mut copied = 0;
        let mut from = 0;
        let mut not_empty_at = None;
        let mut count = 0u64;
        while let Some(captures) = substitution
            .regex
            .find(&text, from, not_empty_at, &mut self.budget)?
        {
            let (start, end) = captures.whole();
            out.extend_from_slice(text.get(copied..start).unwrap_or_default());
            self.captured = Some((text.clone(), captures));
            let replacement = self.text(&substitution.replacement);
            out.extend_from_slice(&replacement);
            if out.len() > MAX_TEXT {
                return Err(EditError::TooMuchWork);
            }
            // Copying the line for each match counts as work too.
            self.budget = self
                .budget
                .checked_sub(text.len() as u64)
                .ok_or(EditError::TooMuchWork)?;
            copied = end;
            from = end;
            not_empty_at = (start == end).then_some(end);
            count += 1;
            if !substitution.global {
                break;
            }
        }
        if count == 0 {
            return Ok(if substitution.return_result {
                Value::Text(text)
            } else {
                Value::truth(false)
            });
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        if substitution.return_result {
            return Ok(Value::Text(out));
        }
        self.set(target, Value::Text(out))?;
        Ok(Value::Number(count as f64))
    }

    fn transliterate(&mut self, target: &str, table: &Transliteration) -> Evaluated {
        let text = self.get(target).to_text();
        let mut out = Vec::with_capacity(text.len());
        let mut count = 0u64;
        let mut last = None;
        for byte in text {
            match table.map.get(usize::from(byte)).copied().unwrap_or(Mapping::Keep) {
                Mapping::Keep => {
                    out.push(byte);
                    last = None;
                }
                Mapping::Delete => count += 1,
                Mapping::To(new) => {
                    count += 1;
                    if !(table.squeeze && last == Some(new)) {
                        out.push(new);
                    }
                    last = Some(new);
                }
            }
        }
        self.set(target, Value::Text(out))?;
        Ok(Value::Number(count as f64))
    }

    /// Puts a string together.
    fn text(&self, parts: &[Part]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut modes: Vec<CaseMode> = Vec::new();
        let mut next: Option<bool> = None;
        for part in parts {
            let piece = match part {
                Part::Literal(literal) => literal.clone(),
                Part::Variable(name) => self.get(name).to_text(),
                Part::Capture(group) => self.capture(*group).to_text(),
                Part::CaseOn(mode) => {
                    // \U ends a \L before it, and the other way round.
                    if let (CaseMode::Upper | CaseMode::Lower, Some(CaseMode::Upper | CaseMode::Lower)) =
                        (mode, modes.last())
                    {
                        modes.pop();
                    }
                    modes.push(*mode);
                    continue;
                }
                Part::CaseOff => {
                    modes.pop();
                    continue;
                }
                Part::NextUpper => {
                    next = Some(true);
                    continue;
                }
                Part::NextLower => {
                    next = Some(false);
                    continue;
                }
            };
            let mut piece = piece;
            for mode in modes.iter().filter(|m| **m != CaseMode::Quote) {
                match mode {
                    CaseMode::Upper => piece.make_ascii_uppercase(),
                    _ => piece.make_ascii_lowercase(),
                }
            }
            if let (Some(upper), Some(first)) = (next, piece.first_mut()) {
                *first = if upper {
                    first.to_ascii_uppercase()
                } else {
                    first.to_ascii_lowercase()
                };
                next = None;
            }
            if modes.contains(&CaseMode::Quote) {
                piece = quote_meta(&piece);
            }
            out.extend_from_slice(&piece);
        }
        out
    }
}

fn quote_meta(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if !super::byte_set::is_word(*byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

fn call(function: Function, argument: &Value) -> Value {
    let mut text = argument.to_text();
    match function {
        Function::LowerCase => text.make_ascii_lowercase(),
        Function::UpperCase => text.make_ascii_uppercase(),
        Function::LowerFirst => {
            if let Some(first) = text.first_mut() {
                first.make_ascii_lowercase();
            }
        }
        Function::UpperFirst => {
            if let Some(first) = text.first_mut() {
                first.make_ascii_uppercase();
            }
        }
        Function::QuoteMeta => text = quote_meta(&text),
        Function::Length => {
            return match argument {
                Value::Undefined => Value::Undefined,
                _ => Value::Number(text.len() as f64),
            };
        }
        Function::Defined => return Value::truth(*argument != Value::Undefined),
    }
    Value::Text(text)
}

fn binary(operator: Binary, left: &Value, right: &Value) -> Evaluated {
    let (a, b) = (left.to_number(), right.to_number());
    let number = |value: f64| Ok(Value::Number(value));
    let truth = |value: bool| Ok(Value::truth(value));
    match operator {
        Binary::Concat => {
            let mut text = left.to_text();
            text.extend_from_slice(&right.to_text());
            if text.len() > MAX_TEXT {
                return Err(EditError::TooMuchWork);
            }
            Ok(Value::Text(text))
        }
        Binary::Repeat => {
            let text = left.to_text();
            let times = if b >= 1.0 { b as usize } else { 0 };
            if text.len().checked_mul(times).is_none_or(|len| len > MAX_TEXT) {
                return Err(EditError::TooMuchWork);
            }
            Ok(Value::Text(text.repeat(times)))
        }
        Binary::Add => number(a + b),
        Binary::Subtract => number(a - b),
        Binary::Multiply => number(a * b),
        Binary::Divide | Binary::Remainder
            if b.trunc() == 0.0 && (operator == Binary::Remainder || b == 0.0) =>
        {
            Err(EditError::Syntax {
                what: "a division by zero".into(),
            })
        }
        Binary::Divide => number(a / b),
        Binary::Remainder => {
            // The result has the sign of the right operand.
            let (a, b) = (a.trunc(), b.trunc());
            let rest = a % b;
            number(if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
                rest + b
            } else {
                rest
            })
        }
        Binary::NumberEqual => truth(a == b),
        Binary::NumberNotEqual => truth(a != b),
        Binary::NumberLess => truth(a < b),
        Binary::NumberLessOrEqual => truth(a <= b),
        Binary::NumberGreater => truth(a > b),
        Binary::NumberGreaterOrEqual => truth(a >= b),
        Binary::TextEqual => truth(left.to_text() == right.to_text()),
        Binary::TextNotEqual => truth(left.to_text() != right.to_text()),
        Binary::TextLess => truth(left.to_text() < right.to_text()),
        Binary::TextLessOrEqual => truth(left.to_text() <= right.to_text()),
        Binary::TextGreater => truth(left.to_text() > right.to_text()),
        Binary::TextGreaterOrEqual => truth(left.to_text() >= right.to_text()),
    }
}
