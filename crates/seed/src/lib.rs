//! Seed media for cloud-init.
