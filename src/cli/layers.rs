//! `lamina layers`.

mod instruction;
