//! The functions by number.

/// The functions, by their number in a6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Function {
    /// [`Call::Version`](super::Call::Version)
    Version = 0,
    /// [`Call::Features`](super::Call::Features)
    Features = 1,
    /// [`Call::DeviceCount`](super::Call::DeviceCount)
    DeviceCount = 2,
    /// [`Call::Describe`](super::Call::Describe)
    Describe = 3,
    /// [`Call::DeviceFeatures`](super::Call::DeviceFeatures)
    DeviceFeatures = 4,
    /// [`Call::AcceptFeatures`](super::Call::AcceptFeatures)
    AcceptFeatures = 5,
    /// [`Call::GetStatus`](super::Call::GetStatus)
    GetStatus = 6,
    /// [`Call::SetStatus`](super::Call::SetStatus)
    SetStatus = 7,
    /// [`Call::QueueState`](super::Call::QueueState)
    QueueState = 8,
    /// [`Call::QueueSetUp`](super::Call::QueueSetUp)
    QueueSetUp = 9,
    /// [`Call::QueueStop`](super::Call::QueueStop)
    QueueStop = 10,
    /// [`Call::ConfigRead`](super::Call::ConfigRead)
    ConfigRead = 11,
    /// [`Call::ConfigWrite`](super::Call::ConfigWrite)
    ConfigWrite = 12,
    /// [`Call::ConfigGeneration`](super::Call::ConfigGeneration)
    ConfigGeneration = 13,
    /// [`Call::Notify`](super::Call::Notify)
    Notify = 14,
    /// [`Call::InterruptSetUp`](super::Call::InterruptSetUp)
    InterruptSetUp = 15,
    /// [`Call::InterruptDone`](super::Call::InterruptDone)
    InterruptDone = 16,
    /// [`Call::Yield`](super::Call::Yield)
    Yield = 17,
    /// [`Call::Counter`](super::Call::Counter)
    Counter = 18,
    /// [`Call::CounterName`](super::Call::CounterName)
    CounterName = 19,
    /// [`Call::CpuPageSetUp`](super::Call::CpuPageSetUp)
    CpuPageSetUp = 20,
    /// [`Call::CpuPageEnd`](super::Call::CpuPageEnd)
    CpuPageEnd = 21,
}

impl Function {
    /// Every function, by number.
    pub const ALL: [Self; 22] = [
        Self::Version,
        Self::Features,
        Self::DeviceCount,
        Self::Describe,
        Self::DeviceFeatures,
        Self::AcceptFeatures,
        Self::GetStatus,
        Self::SetStatus,
        Self::QueueState,
        Self::QueueSetUp,
        Self::QueueStop,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::ConfigGeneration,
        Self::Notify,
        Self::InterruptSetUp,
        Self::InterruptDone,
        Self::Yield,
        Self::Counter,
        Self::CounterName,
        Self::CpuPageSetUp,
        Self::CpuPageEnd,
    ];

    /// The function with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The name in documents, traces and the C header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Features => "features",
            Self::DeviceCount => "device_count",
            Self::Describe => "describe",
            Self::DeviceFeatures => "device_features",
            Self::AcceptFeatures => "accept_features",
            Self::GetStatus => "get_status",
            Self::SetStatus => "set_status",
            Self::QueueState => "queue_state",
            Self::QueueSetUp => "queue_set_up",
            Self::QueueStop => "queue_stop",
            Self::ConfigRead => "config_read",
            Self::ConfigWrite => "config_write",
            Self::ConfigGeneration => "config_generation",
            Self::Notify => "notify",
            Self::InterruptSetUp => "interrupt_set_up",
            Self::InterruptDone => "interrupt_done",
            Self::Yield => "yield",
            Self::Counter => "counter",
            Self::CounterName => "counter_name",
            Self::CpuPageSetUp => "cpu_page_set_up",
            Self::CpuPageEnd => "cpu_page_end",
        }
    }
}
