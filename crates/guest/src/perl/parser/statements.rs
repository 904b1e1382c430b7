//! Statements and what governs them.

use super::{MAX_DEPTH, Parsed, Parser};
use crate::perl::syntax::{Expression, Statement};

impl Parser<'_> {
    pub(super) fn statements(&mut self) -> Parsed<Vec<Statement>> {
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
}
