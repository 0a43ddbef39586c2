//! Address translation: the guest's page tables and their shadow.

pub mod pte;
pub mod shadow;
pub mod space;
pub mod walk;
