//! Am I a guest? Three ways to find out, by what the kernel has.
//!
//! None of them ends in a trap that the kernel does not survive, where its
//! condition holds. All of them end with the call `version`, so that they
//! return a VMM that this crate can talk to. One of the places where `unsafe`
//! is allowed, because the conditions are the kernel's to know.
#![allow(unsafe_code)]

use crate::ecall::Ecall;
use crate::memory::Memory;
use crate::vmm::Vmm;

/// By the device tree that the kernel was started with: a node `/hypervisor`
/// says so, and without it no call is made. Bytes behind the tree are not
/// looked at.
///
/// A kernel that parses the tree itself looks for a node `/hypervisor` that is
/// compatible to [`COMPATIBLE`], and then calls [`Vmm::connect`] with
/// [`Ecall::assume`].
#[cfg(feature = "device-tree")]
pub fn by_device_tree<M: Memory>(tree: &[u8], memory: M) -> Option<Vmm<M>> {
    if !tree::names_us(tree) {
        return None;
    }
    // SAFETY: the one who made the tree says so.
    connect(unsafe { Ecall::assume() }?, memory)
}

/// By asking the SBI, for kernels that were started in S-mode.
///
/// # Safety
/// What is called by `ecall` must be an SBI. Under M-mode code of its own, as
/// xv6 has it, a kernel asks [`by_trap`] before it leaves M-mode.
pub unsafe fn by_sbi<M: Memory>(memory: M) -> Option<Vmm<M>> {
    // SAFETY: as the caller says.
    connect(unsafe { Ecall::by_sbi() }?, memory)
}

/// By a call that a trap handler of ours skips if nobody answers, for kernels
/// that were started in M-mode. Trap handler and interrupts are afterwards as
/// before, and so is [`Vmm::connect`] with [`Ecall::assume`] in S-mode.
///
/// # Safety
/// The kernel must run in M-mode, real or virtual, without address
/// translation for its instructions, as M-mode is.
pub unsafe fn by_trap<M: Memory>(memory: M) -> Option<Vmm<M>> {
    // SAFETY: as the caller says.
    connect(unsafe { Ecall::by_trap() }?, memory)
}

fn connect<M: Memory>(ecall: Ecall, memory: M) -> Option<Vmm<M>> {
    Vmm::connect(memory, ecall).ok()
}

/// What the node `/hypervisor` of a device tree is compatible to.
pub const COMPATIBLE: &str = "trapeze,pv";

#[cfg(feature = "device-tree")]
mod tree {
    use dtoolkit::fdt::Fdt;
    use dtoolkit::{Node, Property};
    use trapeze_protocol::call::EXTENSION;

    use super::COMPATIBLE;

    /// Whether a device tree says that this is a guest of ours.
    pub(super) fn names_us(tree: &[u8]) -> bool {
        search(tree).unwrap_or(false)
    }

    fn search(tree: &[u8]) -> Option<bool> {
        let len = u32::from_be_bytes(tree.get(4..8)?.try_into().ok()?);
        let tree = Fdt::new(tree.get(..usize::try_from(len).ok()?)?).ok()?;
        let node = tree.root().child("hypervisor")?;
        let compatible = node.property("compatible")?;
        let mut names = compatible.value().split(|byte| *byte == 0);
        let number = node.property("trapeze,sbi-extension")?;
        let number = u32::from_be_bytes(number.value().try_into().ok()?);
        Some(names.any(|name| name == COMPATIBLE.as_bytes()) && u64::from(number) == EXTENSION)
    }
}

#[cfg(all(test, feature = "device-tree"))]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A tree with the node `/hypervisor` with these properties, by hand.
    fn tree(properties: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut structure, mut strings) = (Vec::new(), Vec::new());
        let word = |out: &mut Vec<u8>, value: usize| {
            out.extend_from_slice(&u32::try_from(value).unwrap().to_be_bytes());
        };
        let text = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.extend_from_slice(bytes);
            out.resize(out.len().next_multiple_of(4), 0);
        };
        word(&mut structure, 1);
        word(&mut structure, 0);
        word(&mut structure, 1);
        text(&mut structure, b"hypervisor\0");
        for (name, value) in properties {
            [3, value.len(), strings.len()].iter().for_each(|number| word(&mut structure, *number));
            text(&mut structure, value);
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        [2, 2, 9].iter().for_each(|token| word(&mut structure, *token));
        let mut tree = Vec::new();
        let (body, end) = (40 + 16, 40 + 16 + structure.len());
        let header = [0xd00d_feed, end + strings.len(), body, end, 40, 17, 16, 0, strings.len()];
        header.into_iter().chain([structure.len()]).for_each(|field| word(&mut tree, field));
        tree.resize(body, 0);
        tree.extend(structure);
        tree.extend(strings);
        tree
    }

    const NUMBER: (&str, &[u8]) = ("trapeze,sbi-extension", &[0x08, 0x54, 0x50, 0x5a]);

    #[test]
    fn the_node_is_found() {
        let mut found = tree(&[("compatible", b"other\0trapeze,pv\0"), NUMBER]);
        assert!(tree::names_us(&found));
        found.extend([0; 100]);
        assert!(tree::names_us(&found), "with something behind it");
    }

    #[test]
    fn other_trees_say_no() {
        let others: [&[(&str, &[u8])]; 4] = [
            &[],
            &[("compatible", b"trapeze,pv\0")],
            &[("compatible", b"trapeze,pv2\0"), NUMBER],
            &[("compatible", b"trapeze,pv\0"), ("trapeze,sbi-extension", &[0, 0, 0, 1])],
        ];
        for properties in others {
            assert!(!tree::names_us(&tree(properties)), "{properties:?}");
        }
        assert!(!tree::names_us(&[]) && !tree::names_us(&[0xff; 64]));
    }

    #[test]
    fn broken_trees_say_no_and_do_no_harm() {
        let good = tree(&[("compatible", b"trapeze,pv\0"), NUMBER]);
        for len in 0..good.len() {
            assert!(!tree::names_us(&good[..len]));
        }
        for (place, bit) in (0..good.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut bad = good.clone();
            bad[place] ^= 1 << bit;
            tree::names_us(&bad);
        }
    }
}
