//! What a guest kernel links to use the paravirtual devices of the VMM.
#![no_std]
