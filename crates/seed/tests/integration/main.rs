//! Documents are checked against a table, volumes are judged by other programs.

mod documents;
mod volume;
