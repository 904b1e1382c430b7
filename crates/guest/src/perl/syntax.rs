//! What an edit expression consists of.

use super::byte_set::ByteSet;
use super::regex::Regex;

/// One statement.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    Expression(Expression),
    If {
        condition: Expression,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
    /// `next`: the line is not printed.
    Next,
    /// `last`: the rest of the file is not read.
    Last,
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Concat,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Repeat,
    NumberEqual,
    NumberNotEqual,
    NumberLess,
    NumberLessOrEqual,
    NumberGreater,
    NumberGreaterOrEqual,
    TextEqual,
    TextNotEqual,
    TextLess,
    TextLessOrEqual,
    TextGreater,
    TextGreaterOrEqual,
}

/// An operator that may leave its second operand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logic {
    And,
    Or,
    DefinedOr,
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    LowerCase,
    UpperCase,
    LowerFirst,
    UpperFirst,
    Length,
    QuoteMeta,
    Defined,
}

/// A scalar variable: `_`, `lineno`, or one of the expression's own.
pub(crate) type Variable = String;

/// Something that has a value.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Number(f64),
    Text(Vec<Part>),
    Variable(Variable),
    /// `$1`; 0 stands for `$&`.
    Capture(usize),
    Match {
        target: Option<Box<Expression>>,
        regex: Regex,
        global: bool,
        negated: bool,
    },
    Substitute {
        target: Variable,
        substitution: Box<Substitution>,
    },
    Transliterate {
        target: Variable,
        table: Box<Transliteration>,
    },
    Assign {
        variable: Variable,
        value: Box<Expression>,
    },
    AssignLogic {
        variable: Variable,
        logic: Logic,
        value: Box<Expression>,
    },
    /// `++` and `--` behind or before a variable.
    Step {
        variable: Variable,
        by: f64,
        before: bool,
    },
    Not(Box<Expression>),
    Negate(Box<Expression>),
    Binary(Binary, Box<Expression>, Box<Expression>),
    Logic(Logic, Box<Expression>, Box<Expression>),
    Choice {
        condition: Box<Expression>,
        yes: Box<Expression>,
        no: Box<Expression>,
    },
    Call(Function, Box<Expression>),
    Chomp(Variable),
    Print(Vec<Expression>),
}

/// `s/…/…/`.
#[derive(Debug, Clone)]
pub(crate) struct Substitution {
    pub(crate) regex: Regex,
    pub(crate) replacement: Vec<Part>,
    pub(crate) global: bool,
    /// `/r`: the result is the value, the target stays.
    pub(crate) return_result: bool,
}

/// `tr/…/…/`.
#[derive(Debug, Clone)]
pub(crate) struct Transliteration {
    /// What each byte becomes.
    pub(crate) map: Vec<Mapping>,
    /// Squeeze runs of one replacement.
    pub(crate) squeeze: bool,
}

/// What `tr` does with a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapping {
    Keep,
    To(u8),
    Delete,
}

impl Transliteration {
    /// Builds the table from both lists, ranges resolved.
    pub(crate) fn new(from: &[u8], to: &[u8], complement: bool, delete: bool, squeeze: bool) -> Self {
        let complemented: Vec<u8>;
        let from = if complement {
            let set = ByteSet::of(|b| from.contains(&b));
            complemented = (0..=255u8).filter(|b| !set.contains(*b)).collect();
            complemented.as_slice()
        } else {
            from
        };
        let mut map = vec![Mapping::Keep; 256];
        for (index, byte) in from.iter().enumerate() {
            let Some(place) = map.get_mut(usize::from(*byte)) else {
                continue;
            };
            if *place != Mapping::Keep {
                continue;
            }
            *place = match to.get(index) {
                Some(new) => Mapping::To(*new),
                None if delete => Mapping::Delete,
                None => Mapping::To(to.last().copied().unwrap_or(*byte)),
            };
        }
        Self { map, squeeze }
    }
}

/// A piece of a string that is put together when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Vec<u8>),
    Variable(Variable),
    Capture(usize),
    /// `\U`, `\L`, `\Q`: until `\E`.
    CaseOn(CaseMode),
    /// `\E`.
    CaseOff,
    /// `\u`, `\l`: the next byte.
    NextUpper,
    NextLower,
}

/// What happens to text between `\U` (or `\L`, `\Q`) and `\E`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaseMode {
    Upper,
    Lower,
    Quote,
}
