//! `ping`: are you there?

use alloc::string::{String, ToString};
use alloc::vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Ipv4Address};

use super::Network;
use crate::text::microseconds;
use crate::{hart, println};

const PINGS: u16 = 3;
const IDENT: u16 = 0x7a70;
const PAYLOAD: &[u8] = b"a trapeze, not a trap";

pub(super) fn run(network: &mut Network, host: Ipv4Address) -> Result<(), String> {
    let [receive, send] =
        [(); 2].map(|()| PacketBuffer::new(vec![PacketMetadata::EMPTY; 4], vec![0; 1024]));
    let mut socket = Socket::new(receive, send);
    socket.bind(Endpoint::Ident(IDENT)).map_err(|error| error.to_string())?;
    let handle = network.sockets.add(socket);
    let result = (0..PINGS).try_for_each(|number| {
        let begin = hart::time();
        let socket = network.sockets.get_mut::<Socket<'_>>(handle);
        ask(socket, host, number)?;
        network.until(|_, sockets| answered(sockets.get_mut::<Socket<'_>>(handle), number))?;
        let micros = microseconds(hart::time() - begin, network.frequency);
        println!("{host} is there: {number}, {}.{:03} ms", micros / 1000, micros % 1000);
        Ok(())
    });
    network.sockets.remove(handle);
    result
}

fn ask(socket: &mut Socket<'_>, host: Ipv4Address, seq_no: u16) -> Result<(), String> {
    let echo = Icmpv4Repr::EchoRequest { ident: IDENT, seq_no, data: PAYLOAD };
    let packet = socket.send(echo.buffer_len(), host.into()).map_err(|error| error.to_string())?;
    echo.emit(&mut Icmpv4Packet::new_unchecked(packet), &ChecksumCapabilities::default());
    Ok(())
}

/// Whether the answer to this one is there; others are late ones.
fn answered(socket: &mut Socket<'_>, number: u16) -> Option<()> {
    while let Ok((packet, _)) = socket.recv() {
        let packet = Icmpv4Packet::new_checked(packet).ok()?;
        let answer = Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default());
        if matches!(answer, Ok(Icmpv4Repr::EchoReply { seq_no, .. }) if seq_no == number) {
            return Some(());
        }
    }
    None
}
