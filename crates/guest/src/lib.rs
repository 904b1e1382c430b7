//! The guest inside an image: what is installed, its mount table, and edits of its files.
