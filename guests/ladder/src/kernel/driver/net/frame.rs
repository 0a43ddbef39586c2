//! The frames: Ethernet, ARP (RFC 826), IP (RFC 791) and ICMP (RFC 792), as
//! much as a ping needs. Addresses are those of QEMU's user network.

/// The longest frame.
pub(crate) const FRAME: usize = 1514;
/// Ethernet, IP and ICMP header.
pub(crate) const SHORTEST: usize = 14 + 20 + 8;

const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const OURS: [u8; 4] = [10, 0, 2, 15];

const ARP: [u8; 2] = [8, 6];
const IP: [u8; 2] = [8, 0];
/// For experiments (IEEE 802): QEMU's network drops it.
const UNWANTED: [u8; 2] = [0x88, 0xb5];

/// Beside it: whoever answers may end.
const GOODBYE: [u8; 2] = [0x88, 0xb6];

/// ICMP types.
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// Frames from one address, made in one buffer.
pub(crate) struct Frames {
    mac: [u8; 6],
    /// The address of the gateway, once it is known.
    pub(crate) gateway: [u8; 6],
    frame: [u8; FRAME],
}

impl Frames {
    pub(crate) fn new(mac: [u8; 6]) -> Self {
        Self { mac, gateway: [0xff; 6], frame: [0; FRAME] }
    }

    fn address(&mut self, kind: [u8; 2]) {
        self.frame[..6].copy_from_slice(&self.gateway);
        self.frame[6..12].copy_from_slice(&self.mac);
        self.frame[12..14].copy_from_slice(&kind);
    }

    /// Who has the gateway's address?
    pub(crate) fn question(&mut self) -> [u8; SHORTEST] {
        self.address(ARP);
        let mut frame = [0; SHORTEST];
        frame[..14].copy_from_slice(&self.frame[..14]);
        frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
        frame[22..28].copy_from_slice(&self.mac);
        frame[28..32].copy_from_slice(&OURS);
        frame[38..42].copy_from_slice(&GATEWAY);
        frame
    }

    /// A request for an echo, with `slot` as its number.
    pub(crate) fn echo(&mut self, slot: usize, len: usize) -> &[u8] {
        self.address(IP);
        let [.., high, low] = (len - 14).to_be_bytes();
        let ip = &mut self.frame[14..34];
        ip.copy_from_slice(&[
            0x45, 0, high, low, 0, 0, 0x40, 0, 64, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        ip[12..16].copy_from_slice(&OURS);
        ip[16..20].copy_from_slice(&GATEWAY);
        let sum = checksum(ip);
        ip[10..12].copy_from_slice(&sum);
        let icmp = &mut self.frame[34..42];
        let [.., high, low] = slot.to_be_bytes();
        icmp.copy_from_slice(&[ECHO, 0, 0, 0, 0, 1, high, low]);
        // All that follows is zero.
        let sum = checksum(icmp);
        icmp[2..4].copy_from_slice(&sum);
        &self.frame[..len]
    }

    /// The last frame.
    pub(crate) fn goodbye(&mut self) -> &[u8] {
        self.address(GOODBYE);
        &self.frame[..SHORTEST]
    }

    /// A frame that goes nowhere.
    pub(crate) fn unwanted(&mut self, len: usize) -> &[u8] {
        self.address(UNWANTED);
        &self.frame[..len]
    }
}

/// A frame for us, as who answers sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It was made an answer.
    Answered,
    /// There is none.
    Nothing,
    /// There will be no more.
    Goodbye,
}

/// Makes of what is asked of the gateway what it answers, its address being
/// `mac`.
pub(crate) fn answer(frame: &mut [u8], mac: [u8; 6]) -> Asked {
    let kind = frame.get(12..14).and_then(|kind| <[u8; 2]>::try_from(kind).ok());
    let asked = match (kind, frame.len() >= SHORTEST) {
        (Some(GOODBYE), _) => return Asked::Goodbye,
        // A question, or a request for an echo.
        (Some(ARP), true) => frame[20..22] == [0, 1] && frame[38..42] == GATEWAY,
        (Some(IP), true) => frame[23] == 1 && frame[34] == ECHO,
        _ => false,
    };
    if !asked {
        return Asked::Nothing;
    }
    if kind == Some(ARP) {
        frame.copy_within(22..32, 32);
        frame[20..22].copy_from_slice(&[0, 2]);
        frame[22..28].copy_from_slice(&mac);
        frame[28..32].copy_from_slice(&GATEWAY);
    } else {
        let (from, to) = frame[26..34].split_at_mut(4);
        from.swap_with_slice(to);
        let icmp = &mut frame[34..42];
        icmp[..4].copy_from_slice(&[ECHO_REPLY, 0, 0, 0]);
        // All that follows is zero.
        let sum = checksum(icmp);
        icmp[2..4].copy_from_slice(&sum);
    }
    frame.copy_within(6..12, 0);
    frame[6..12].copy_from_slice(&mac);
    Asked::Answered
}

/// The sum of RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let [.., high, low] = (!(sum + (sum >> 16))).to_be_bytes();
    [high, low]
}

/// Who answered the question, if that is what the frame does.
pub(crate) fn answerer(frame: &[u8]) -> Option<[u8; 6]> {
    let answers = frame.get(12..14)? == ARP && frame.get(20..22)? == [0, 2];
    let mac = frame.get(22..28).filter(|_| answers)?;
    mac.try_into().ok()
}

/// The number of the request for an echo that the frame answers.
pub(crate) fn answered(frame: &[u8]) -> Option<usize> {
    let answers = frame.get(12..14)? == IP && frame.get(23)? == &1;
    let icmp = frame.get(34..42).filter(|_| answers)?;
    (icmp[0] == ECHO_REPLY).then(|| usize::from(icmp[6]) << 8 | usize::from(icmp[7]))
}
