//! What is on a disk: GPT, MBR, or a bare filesystem.
