//! The qcow2 image format, version 2 and 3, read and written.
