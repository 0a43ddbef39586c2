//! A web server with one page: what this machine is, and its exits.
//!
//! `/bytes/N` is N bytes of a known pattern, for whoever wants to see how
//! fast they come.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::Socket;

const PORT: u16 = 80;
/// Requests that are served at once.
const CLIENTS: usize = 4;
/// A longer request is none that we know.
const LONGEST: usize = 4096;

pub(super) struct Server([Client; CLIENTS]);

struct Client {
    handle: SocketHandle,
    request: Vec<u8>,
    answer: Option<Answer>,
}

/// What is still to be sent.
struct Answer {
    text: Vec<u8>,
    sent: usize,
    /// Bytes of the pattern that follow the text, and which is the next.
    pattern: core::ops::Range<u64>,
}

/// Byte `at` of the pattern: not the same in two pages, nor in two sectors.
fn pattern(at: u64) -> u8 {
    (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0]
}

impl Server {
    pub(super) fn new(sockets: &mut SocketSet<'static>) -> Self {
        Self(core::array::from_fn(|_| Client {
            handle: sockets.add(super::connection()),
            request: Vec::new(),
            answer: None,
        }))
    }

    pub(super) fn serve(&mut self, sockets: &mut SocketSet<'static>, page: &dyn Fn() -> String) {
        for client in &mut self.0 {
            client.serve(sockets.get_mut(client.handle), page);
        }
    }
}

impl Client {
    fn serve(&mut self, socket: &mut Socket<'_>, page: &dyn Fn() -> String) {
        if !socket.is_open() {
            (self.request, self.answer) = (Vec::new(), None);
            // It is not listening yet, and the port is one.
            let _ = socket.listen(PORT);
            return;
        }
        if self.answer.is_none() {
            self.read(socket, page);
        }
        // At once, not at the next news: there may be none.
        if let Some(answer) = &mut self.answer
            && !answer.send(socket)
        {
            socket.close();
        }
    }

    fn read(&mut self, socket: &mut Socket<'_>, page: &dyn Fn() -> String) {
        let came = socket.recv(|piece| {
            self.request.extend_from_slice(piece);
            (piece.len(), piece.len())
        });
        if self.request.windows(4).any(|four| four == b"\r\n\r\n") {
            self.answer = Some(answer(&self.request, page));
        } else if self.request.len() > LONGEST || (came.is_err() && socket.may_send()) {
            socket.abort();
        }
    }
}

fn answer(request: &[u8], page: &dyn Fn() -> String) -> Answer {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = core::str::from_utf8(line).unwrap_or_default().split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let bytes = path.strip_prefix("/bytes/").and_then(|number| number.parse().ok());
    let (status, kind, body, more) = match (method, path, bytes) {
        (Some("GET"), "/", _) => ("200 OK", "text/html; charset=utf-8", page(), 0),
        (Some("GET"), _, Some(more)) => ("200 OK", "application/octet-stream", String::new(), more),
        _ => ("404 Not Found", "text/plain", "There is one page: /\n".into(), 0),
    };
    let length = body.len() as u64 + more;
    let text = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    Answer { text: text.into_bytes(), sent: 0, pattern: 0..more }
}

impl Answer {
    /// Sends what there is room for; whether something is left.
    fn send(&mut self, socket: &mut Socket<'_>) -> bool {
        while socket.can_send() && (self.sent < self.text.len() || !self.pattern.is_empty()) {
            let sent = socket.send(|room| {
                let count = self.fill(room);
                (count, count)
            });
            if sent.is_err() {
                return false;
            }
        }
        self.sent < self.text.len() || !self.pattern.is_empty()
    }

    fn fill(&mut self, room: &mut [u8]) -> usize {
        let rest = self.text.get(self.sent..).unwrap_or_default();
        let text = rest.len().min(room.len());
        let (head, tail) = room.split_at_mut(text);
        head.copy_from_slice(&rest[..text]);
        self.sent += text;
        let mut count = text;
        for (byte, at) in tail.iter_mut().zip(&mut self.pattern) {
            *byte = pattern(at);
            count += 1;
        }
        count
    }
}
