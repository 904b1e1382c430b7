//! Disk images whatever their format: opening, backing chains, transactions, and the verbs over them.
