//! Keeps half-done operations out of a commit.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Operations share the gate, a commit has it alone.
///
/// A filesystem enters it at the start of each mutating call; whoever commits holds it exclusively from before
/// [`crate::FileSystem::sync`] until the change set is prepared.
#[derive(Debug, Default)]
pub struct OperationGate {
    lock: RwLock<()>,
}

impl OperationGate {
    /// Enters the gate for one operation; waits while a commit holds it.
    pub fn enter(&self) -> RwLockReadGuard<'_, ()> {
        self.lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the gate; waits until all operations have left it.
    pub fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write().unwrap_or_else(PoisonError::into_inner)
    }
}
