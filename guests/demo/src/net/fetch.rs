//! `fetch`: a page by HTTP.

use alloc::format;
use alloc::string::{String, ToString};

use smoltcp::socket::tcp::Socket;
use smoltcp::wire::Ipv4Address;

use super::Network;
use crate::hart;

/// The first of the ports from which connections are made.
const FIRST_PORT: u64 = 49_152;
const PORTS: u64 = 16_384;

/// Shows what follows the headers to `see`; tells how many bytes these were.
pub(super) fn run(
    network: &mut Network,
    (host, port): (Ipv4Address, u16),
    path: &str,
    mut see: impl FnMut(&[u8]),
) -> Result<u64, String> {
    let handle = network.sockets.add(super::connection());
    let own = u16::try_from(FIRST_PORT + hart::time() % PORTS).unwrap_or(u16::MAX);
    let socket = network.sockets.get_mut::<Socket<'_>>(handle);
    let connected = socket.connect(network.interface.context(), (host, port), own);
    let result = connected.map_err(|error| error.to_string()).and_then(|()| {
        let request = format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
        network.until(|_, sockets| {
            let socket = sockets.get_mut::<Socket<'_>>(handle);
            let sent = socket.can_send() && socket.send_slice(request.as_bytes()).is_ok();
            (sent || !socket.is_open()).then_some(())
        })?;
        read(network, handle, &mut see)
    });
    network.sockets.get_mut::<Socket<'_>>(handle).abort();
    network.step();
    network.sockets.remove(handle);
    result
}

fn read(
    network: &mut Network,
    handle: smoltcp::iface::SocketHandle,
    see: &mut impl FnMut(&[u8]),
) -> Result<u64, String> {
    let mut headers = Headers::default();
    let mut bytes = 0;
    loop {
        // None: something came; Some: the end.
        let end = network.until(|_, sockets| {
            let socket = sockets.get_mut::<Socket<'_>>(handle);
            let came = socket.recv(|piece| {
                let body = headers.skip(piece);
                bytes += body.len() as u64;
                see(body);
                (piece.len(), piece.len())
            });
            match came {
                Ok(0) if socket.may_recv() => None,
                Ok(0) | Err(_) => Some(true),
                Ok(_) => Some(false),
            }
        })?;
        if end {
            return if headers.over { Ok(bytes) } else { Err("no answer to speak of".to_string()) };
        }
    }
}

/// Looks for the empty line behind the headers.
#[derive(Default)]
struct Headers {
    /// How much of `\r\n\r\n` has come.
    matched: usize,
    over: bool,
}

impl Headers {
    /// What of `piece` follows the headers.
    fn skip<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        const END: [u8; 4] = *b"\r\n\r\n";
        for (at, byte) in piece.iter().enumerate() {
            if self.over {
                return &piece[at..];
            }
            self.matched = match END.get(self.matched) {
                Some(next) if next == byte => self.matched + 1,
                _ => usize::from(*byte == END[0]),
            };
            self.over = self.matched == END.len();
        }
        &[]
    }
}
