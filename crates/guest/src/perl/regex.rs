//! Matches regular expressions by backtracking, as Perl does, with a bound on the work.
//!
//! Perl's own rules (`$` before a last newline, back references, lookaround, the order in which alternatives are tried)
//! are kept exactly; that is why no engine of another family is used here.

use super::byte_set::{ByteSet, is_word};
use super::error::EditError;
use super::pattern::{self, Assertion, Greed, Modifiers, Node};

/// Largest compiled pattern, in instructions.
const MAX_PROGRAM: usize = 200_000;
/// Most entries of the backtracking stack: 24 bytes each.
const MAX_STACK: usize = 1_000_000;

#[derive(Debug, Clone)]
enum Instruction {
    Set(ByteSet),
    Split {
        first: usize,
        second: usize,
    },
    Jump(usize),
    Save(usize),
    Assert(Assertion),
    BackReference {
        group: usize,
        ignore_case: bool,
    },
    /// Runs the instructions behind it up to their `Match`, then goes on at `next`.
    Look {
        ahead: Option<usize>,
        negative: bool,
        next: usize,
    },
    Atomic {
        next: usize,
    },
    /// Remembers the position at which an iteration starts.
    Mark(usize),
    /// Iterates again unless the iteration matched nothing.
    AgainIfAdvanced {
        slot: usize,
        to: usize,
    },
    Match,
}

/// Byte ranges of the whole match and of each group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Captures(Vec<Option<usize>>);

impl Captures {
    /// The range of a group; 0 is the whole match.
    pub(crate) fn range(&self, group: usize) -> Option<(usize, usize)> {
        let at = group.checked_mul(2)?;
        Some(((*self.0.get(at)?)?, (*self.0.get(at + 1)?)?))
    }

    /// Start and end of the whole match.
    pub(crate) fn whole(&self) -> (usize, usize) {
        self.range(0).unwrap_or((0, 0))
    }
}

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub(crate) struct Regex {
    program: Vec<Instruction>,
    groups: usize,
    slots: usize,
    /// Where the pattern can start: only at the text's start.
    anchored: bool,
}

impl Regex {
    /// Compiles a pattern.
    pub(crate) fn new(source: &[u8], modifiers: Modifiers) -> Result<Self, EditError> {
        let (node, groups) = pattern::parse(source, modifiers)?;
        let mut compiler = Compiler {
            program: Vec::new(),
            slots: (groups + 1) * 2,
        };
        compiler.emit(Instruction::Save(0))?;
        compiler.node(&node)?;
        compiler.emit(Instruction::Save(1))?;
        compiler.emit(Instruction::Match)?;
        let anchored = matches!(
            compiler.program.get(1),
            Some(Instruction::Assert(Assertion::TextStart))
        );
        Ok(Self {
            program: compiler.program,
            groups,
            slots: compiler.slots,
            anchored,
        })
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// The first match that starts at or after `from`. `not_empty_at`: a match of nothing at that place does not count
    /// (as in Perl after a match that ended there). `budget`: the steps
    /// that may still be taken.
    pub(crate) fn find(
        &self,
        text: &[u8],
        from: usize,
        not_empty_at: Option<usize>,
        budget: &mut u64,
    ) -> Result<Option<Captures>, EditError> {
        let mut machine = Machine {
            text,
            slots: Vec::new(),
            stack: Vec::new(),
            budget,
            not_empty_at,
        };
        for start in from..=text.len() {
            if self.anchored && start > 0 {
                break;
            }
            if let Some(Instruction::Set(set)) = self.program.get(1)
                && !text.get(start).is_some_and(|b| set.contains(*b))
            {
                continue;
            }
            machine.slots.clear();
            machine.slots.resize(self.slots, None);
            machine.stack.clear();
            if self.run(&mut machine, 0, start, true)?.is_some() {
                machine.slots.truncate((self.groups + 1) * 2);
                return Ok(Some(Captures(machine.slots)));
            }
        }
        Ok(None)
    }

    /// Runs from an instruction to a `Match`; returns the position there. On success the entries that undo slots stay on the stack.
    fn run(
        &self,
        machine: &mut Machine<'_>,
        start: usize,
        position: usize,
        outermost: bool,
    ) -> Result<Option<usize>, EditError> {
        let base = machine.stack.len();
        let (mut pc, mut at) = (start, position);
        loop {
            *machine.budget = machine.budget.checked_sub(1).ok_or(EditError::TooMuchWork)?;
            if machine.stack.len() > MAX_STACK {
                return Err(EditError::TooMuchWork);
            }
            let go_on = match self.program.get(pc) {
                None => false,
                Some(Instruction::Match) => {
                    let empty = machine.slots.first().copied().flatten() == Some(at);
                    if outermost && empty && machine.not_empty_at == Some(at) {
                        false
                    } else {
                        machine.forget_branches(base);
                        return Ok(Some(at));
                    }
                }
                Some(Instruction::Set(set)) => {
                    let found = machine.text.get(at).is_some_and(|b| set.contains(*b));
                    at += usize::from(found);
                    pc += 1;
                    found
                }
                Some(Instruction::Split { first, second }) => {
                    machine.stack.push(Entry::Branch { pc: *second, at });
                    pc = *first;
                    true
                }
                Some(Instruction::Jump(to)) => {
                    pc = *to;
                    true
                }
                Some(Instruction::Save(slot) | Instruction::Mark(slot)) => {
                    machine.save(*slot, at);
                    pc += 1;
                    true
                }
                Some(Instruction::AgainIfAdvanced { slot, to }) => {
                    let advanced = machine.slots.get(*slot).copied().flatten() != Some(at);
                    pc = if advanced { *to } else { pc + 1 };
                    true
                }
                Some(Instruction::Assert(assertion)) => {
                    pc += 1;
                    machine.holds(*assertion, at)
                }
                Some(Instruction::BackReference { group, ignore_case }) => {
                    pc += 1;
                    match machine.back_reference(*group, *ignore_case, at) {
                        Some(len) => {
                            at += len;
                            true
                        }
                        None => false,
                    }
                }
                Some(Instruction::Look {
                    ahead,
                    negative,
                    next,
                }) => {
                    let from = match ahead {
                        None => Some(at),
                        Some(width) => at.checked_sub(*width),
                    };
                    let before = machine.stack.len();
                    let found = match from {
                        Some(from) => self.run(machine, pc + 1, from, false)?.is_some(),
                        None => false,
                    };
                    if *negative {
                        machine.undo(before);
                    }
                    pc = *next;
                    found != *negative
                }
                Some(Instruction::Atomic { next }) => match self.run(machine, pc + 1, at, false)? {
                    Some(end) => {
                        pc = *next;
                        at = end;
                        true
                    }
                    None => false,
                },
            };
            if go_on {
                continue;
            }
            loop {
                if machine.stack.len() <= base {
                    return Ok(None);
                }
                match machine.stack.pop() {
                    Some(Entry::Branch { pc: to, at: place }) => {
                        (pc, at) = (to, place);
                        break;
                    }
                    Some(Entry::Undo { slot, old }) => machine.restore(slot, old),
                    None => return Ok(None),
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Branch { pc: usize, at: usize },
    Undo { slot: usize, old: Option<usize> },
}

struct Machine<'a> {
    text: &'a [u8],
    slots: Vec<Option<usize>>,
    stack: Vec<Entry>,
    budget: &'a mut u64,
    not_empty_at: Option<usize>,
}

impl Machine<'_> {
    fn save(&mut self, slot: usize, at: usize) {
        if let Some(value) = self.slots.get_mut(slot) {
            self.stack.push(Entry::Undo { slot, old: *value });
            *value = Some(at);
        }
    }

    fn restore(&mut self, slot: usize, old: Option<usize>) {
        if let Some(value) = self.slots.get_mut(slot) {
            *value = old;
        }
    }

    fn forget_branches(&mut self, base: usize) {
        let tail = self.stack.split_off(base.min(self.stack.len()));
        self.stack
            .extend(tail.into_iter().filter(|e| matches!(e, Entry::Undo { .. })));
    }

    fn undo(&mut self, base: usize) {
        while self.stack.len() > base {
            if let Some(Entry::Undo { slot, old }) = self.stack.pop() {
                self.restore(slot, old);
            }
        }
    }

    fn holds(&self, assertion: Assertion, at: usize) -> bool {
        let len = self.text.len();
        let before = at.checked_sub(1).and_then(|i| self.text.get(i)).copied();
        let after = self.text.get(at).copied();
        let boundary = before.is_some_and(is_word) != after.is_some_and(is_word);
        match assertion {
            Assertion::TextStart => at == 0,
            Assertion::LineStart => at == 0 || (before == Some(b'\n') && at < len),
            Assertion::TextEnd => at == len,
            Assertion::TextEndOrNewline => at == len || (at + 1 == len && after == Some(b'\n')),
            Assertion::LineEnd => at == len || after == Some(b'\n'),
            Assertion::WordBoundary => boundary,
            Assertion::NotWordBoundary => !boundary,
        }
    }

    /// The length of the group's text if it stands at `at` again.
    fn back_reference(&self, group: usize, ignore_case: bool, at: usize) -> Option<usize> {
        let start = self.slots.get(group * 2).copied().flatten()?;
        let end = self.slots.get(group * 2 + 1).copied().flatten()?;
        let wanted = self.text.get(start..end)?;
        let found = self.text.get(at..at.checked_add(wanted.len())?)?;
        let equal = if ignore_case {
            wanted.eq_ignore_ascii_case(found)
        } else {
            wanted == found
        };
        equal.then_some(wanted.len())
    }
}

struct Compiler {
    program: Vec<Instruction>,
    slots: usize,
}

impl Compiler {
    fn emit(&mut self, instruction: Instruction) -> Result<usize, EditError> {
        if self.program.len() >= MAX_PROGRAM {
            return Err(EditError::Unsupported {
                what: "a pattern that large".into(),
            });
        }
        self.program.push(instruction);
        Ok(self.program.len() - 1)
    }

    fn patch(&mut self, at: usize, instruction: Instruction) {
        if let Some(place) = self.program.get_mut(at) {
            *place = instruction;
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), EditError> {
        match node {
            Node::Empty => {}
            Node::Set(set) => {
                self.emit(Instruction::Set(*set))?;
            }
            Node::Concat(nodes) => {
                for node in nodes {
                    self.node(node)?;
                }
            }
            Node::Alternatives(nodes) => self.alternatives(nodes)?,
            Node::Repeat {
                node,
                min,
                max,
                greed,
            } => self.repeat(node, *min, *max, *greed)?,
            Node::Group(number, node) => {
                self.emit(Instruction::Save(number * 2))?;
                self.node(node)?;
                self.emit(Instruction::Save(number * 2 + 1))?;
            }
            Node::Assert(assertion) => {
                self.emit(Instruction::Assert(*assertion))?;
            }
            Node::Look {
                ahead: true,
                negative,
                node,
            } => self.look(None, *negative, node)?,
            Node::Look {
                ahead: false,
                negative,
                node,
            } => self.look_behind(*negative, node)?,
            Node::Atomic(node) => self.atomic(node)?,
            Node::BackReference { group, ignore_case } => {
                self.emit(Instruction::BackReference {
                    group: *group,
                    ignore_case: *ignore_case,
                })?;
            }
            Node::Keep => {
                self.emit(Instruction::Save(0))?;
            }
        }
        Ok(())
    }

    fn alternatives(&mut self, nodes: &[Node]) -> Result<(), EditError> {
        let mut ends = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            if index + 1 == nodes.len() {
                self.node(node)?;
                break;
            }
            let split = self.emit(Instruction::Match)?;
            self.node(node)?;
            ends.push(self.emit(Instruction::Match)?);
            let second = self.program.len();
            self.patch(
                split,
                Instruction::Split {
                    first: split + 1,
                    second,
                },
            );
        }
        let end = self.program.len();
        for at in ends {
            self.patch(at, Instruction::Jump(end));
        }
        Ok(())
    }

    fn look(&mut self, behind: Option<usize>, negative: bool, node: &Node) -> Result<(), EditError> {
        let at = self.emit(Instruction::Match)?;
        self.node(node)?;
        self.emit(Instruction::Match)?;
        let next = self.program.len();
        self.patch(
            at,
            Instruction::Look {
                ahead: behind,
                negative,
                next,
            },
        );
        Ok(())
    }

    /// Each alternative looks back by its own width: any of them, or none.
    fn look_behind(&mut self, negative: bool, node: &Node) -> Result<(), EditError> {
        let branches = match node {
            Node::Alternatives(branches) => branches.as_slice(),
            node => std::slice::from_ref(node),
        };
        if negative {
            for branch in branches {
                self.look(Some(branch.width().unwrap_or(0)), true, branch)?;
            }
            return Ok(());
        }
        let mut ends = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let last = index + 1 == branches.len();
            let split = if last {
                None
            } else {
                Some(self.emit(Instruction::Match)?)
            };
            self.look(Some(branch.width().unwrap_or(0)), false, branch)?;
            if let Some(split) = split {
                ends.push(self.emit(Instruction::Match)?);
                let second = self.program.len();
                self.patch(
                    split,
                    Instruction::Split {
                        first: split + 1,
                        second,
                    },
                );
            }
        }
        let end = self.program.len();
        for at in ends {
            self.patch(at, Instruction::Jump(end));
        }
        Ok(())
    }

    fn atomic(&mut self, node: &Node) -> Result<(), EditError> {
        let at = self.emit(Instruction::Match)?;
        self.node(node)?;
        self.emit(Instruction::Match)?;
        let next = self.program.len();
        self.patch(at, Instruction::Atomic { next });
        Ok(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greed: Greed) -> Result<(), EditError> {
        if greed == Greed::Possessive {
            let plain = Node::Repeat {
                node: Box::new(node.clone()),
                min,
                max,
                greed: Greed::Greedy,
            };
            return self.atomic(&plain);
        }
        let split = |first: usize, second: usize| match greed {
            Greed::Lazy => Instruction::Split {
                first: second,
                second: first,
            },
            _ => Instruction::Split { first, second },
        };
        for _ in 0..min {
            self.node(node)?;
        }
        match max {
            Some(max) => {
                let mut splits = Vec::new();
                for _ in min..max {
                    splits.push(self.emit(Instruction::Match)?);
                    self.node(node)?;
                }
                let end = self.program.len();
                for at in splits {
                    self.patch(at, split(at + 1, end));
                }
            }
            None => {
                let head = self.emit(Instruction::Match)?;
                if node.may_be_empty() {
                    let slot = self.slots;
                    self.slots += 1;
                    self.emit(Instruction::Mark(slot))?;
                    self.node(node)?;
                    self.emit(Instruction::AgainIfAdvanced { slot, to: head })?;
                } else {
                    self.node(node)?;
                    self.emit(Instruction::Jump(head))?;
                }
                let end = self.program.len();
                self.patch(head, split(head + 1, end));
            }
        }
        Ok(())
    }
}
