//! The device directory of one level: a page of device contexts (section
//! "Device-Context"). A device without a valid one is blocked, and so is each
//! whose number is too large for the page.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use zerocopy::FromZeros;

use super::{DeviceId, Stage};
use crate::addr::to_usize;

const WORDS: usize = 512;

/// `tc.V`: the context is valid.
const VALID: u64 = 1 << 0;
/// `tc.DTF`: faults of the device are not reported.
const SILENT: u64 = 1 << 4;

/// How long a context is; the IOMMU's capabilities say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// 32 bytes.
    Base,
    /// 64 bytes, with a table for interrupts.
    Extended,
}

impl Format {
    const fn words(self) -> usize {
        match self {
            Self::Base => 4,
            Self::Extended => 8,
        }
    }
}

#[derive(FromZeros)]
#[repr(C, align(4096))]
struct Page([AtomicU64; WORDS]);

/// The directory.
pub struct Directory {
    page: Box<Page>,
    format: Format,
}

impl Directory {
    /// A directory in which there is nobody; `None` if there is no memory.
    pub fn new(format: Format) -> Option<Self> {
        Some(Self { page: Page::new_box_zeroed().ok()?, format })
    }

    /// Its host-physical page number.
    pub fn page(&self) -> u64 {
        core::ptr::from_ref(&*self.page) as u64 >> 12
    }

    /// Devices that there is room for.
    pub const fn room(&self) -> u32 {
        match self.format {
            Format::Base => 128,
            Format::Extended => 64,
        }
    }

    /// The words of a device's context: translation control, guest stage, and
    /// others that stay zero: no first stage, no processes, no table for
    /// interrupts.
    fn context(&self, device: DeviceId) -> Option<&[AtomicU64]> {
        let words = self.format.words();
        let start = to_usize(device.into()).checked_mul(words)?;
        self.page.0.get(start..start + words)
    }

    /// Lets a device reach `stage`, which has `number`, from now on; `false`
    /// if it has no place here.
    pub fn admit(&self, device: DeviceId, number: u16, stage: &Stage) -> bool {
        let Some([control, root, ..]) = self.context(device) else { return false };
        root.store(stage.pointer(number), Ordering::Relaxed);
        control.store(VALID, Ordering::Release);
        true
    }

    /// Blocks a device; the IOMMU may remember it yet.
    pub fn expel(&self, device: DeviceId) {
        if let Some([control, ..]) = self.context(device) {
            control.store(0, Ordering::Release);
        }
    }

    /// Ends the reports on a device, if it is here.
    pub fn silence(&self, device: DeviceId) {
        if let Some([control, ..]) = self.context(device)
            && control.load(Ordering::Relaxed) & VALID != 0
        {
            control.fetch_or(SILENT, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Gpa, Hpa};

    fn words(directory: &Directory) -> Vec<u64> {
        directory.page.0.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn only_admitted_devices_are_in_it() {
        let stage = Stage::new(Gpa(0x8000_0000), Hpa(0x9000_0000), 2 << 20).unwrap();
        for (format, words_each) in [(Format::Base, 4), (Format::Extended, 8)] {
            let directory = Directory::new(format).unwrap();
            assert!(directory.page() << 12 != 0);
            assert!(directory.admit(9, 3, &stage));
            let mut expected = vec![0; WORDS];
            expected[9 * words_each] = VALID;
            expected[9 * words_each + 1] = stage.pointer(3);
            assert_eq!(words(&directory), expected);
            directory.silence(9);
            directory.silence(10);
            expected[9 * words_each] = VALID | SILENT;
            assert_eq!(words(&directory), expected);
            directory.expel(9);
            assert_eq!(words(&directory)[9 * words_each], 0);
            assert!(!directory.admit(directory.room(), 1, &stage));
            assert!(!directory.admit(u32::MAX, 1, &stage));
            directory.expel(u32::MAX);
        }
    }
}
