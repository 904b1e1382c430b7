//! Power cuts: every state that a cut can leave is judged.
