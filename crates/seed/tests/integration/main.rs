//! Documents are checked against a table, volumes are judged by other programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod documents;
mod limits;
mod made;
mod media;
mod schema;
mod volume;
