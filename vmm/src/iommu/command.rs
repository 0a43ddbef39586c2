//! Commands to the IOMMU, 16 bytes each (chapter 4, "In-memory queue
//! interface").

use super::DeviceId;

/// One command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Forget what the directory said of a device (`IODIR.INVAL_DDT`).
    ForgetDevice(DeviceId),
    /// Forget all translations of a stage with this number (`IOTINVAL.GVMA`).
    ForgetStage(u16),
    /// Complete the commands before this one, and the accesses that they
    /// concern (`IOFENCE.C`).
    Fence,
}

impl Command {
    /// The two doublewords of the command.
    pub const fn encode(self) -> [u64; 2] {
        const TRANSLATION: u64 = 1;
        const FENCE: u64 = 2;
        const DIRECTORY: u64 = 3;
        const FUNCTION: u32 = 7;
        match self {
            Self::ForgetDevice(device) => {
                const DEVICE_VALID: u64 = 1 << 33;
                [DIRECTORY | DEVICE_VALID | (device as u64) << 40, 0]
            }
            Self::ForgetStage(number) => {
                const STAGE: u64 = 1 << FUNCTION;
                const NUMBER_VALID: u64 = 1 << 33;
                [TRANSLATION | STAGE | NUMBER_VALID | (number as u64) << 44, 0]
            }
            // Reads and writes that were under way are done afterwards.
            Self::Fence => {
                const READS: u64 = 1 << 12;
                const WRITES: u64 = 1 << 13;
                [FENCE | READS | WRITES, 0]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_encoded_as_the_specification_says() {
        let device = Command::ForgetDevice(0x00_01f8).encode();
        assert_eq!(device, [0x0001_f802_0000_0003, 0]);
        let stage = Command::ForgetStage(0x1234).encode();
        assert_eq!(stage, [0x0123_4002_0000_0081, 0]);
        assert_eq!(Command::Fence.encode(), [0x3002, 0]);
    }
}
