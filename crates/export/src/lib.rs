//! A guest's files as a directory of the host.
