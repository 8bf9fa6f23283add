//! The sandbox's network: a loopback interface, and on it the two listeners that lead to the server.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

/// Where a runtime finds the Runtime API inside its sandbox.
pub(crate) const RUNTIME_API_PORT: u16 = 9001;
/// Where SDKs find the platform inside a sandbox.
pub(crate) const PLATFORM_PORT: u16 = 4566;

/// How many connections may wait to be accepted: a function opens as many at once as it likes.
const BACKLOG: i32 = 1024;

/// The sockets stay in the network in which they were made, whoever holds their descriptors.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Turns the loopback interface on, which is always the first of a new network name space.
pub(crate) fn loopback_up() -> io::Result<()> {
    const LOOPBACK: i32 = 1;
    let up = u32::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).map_err(io::Error::other)?;
    // A netlink header (length, type, flags, sequence, port) and an `ifinfomsg` (family, type, index, flags, mask).
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(libc::RTM_NEWLINK.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(up.to_ne_bytes());
    message.extend(up.to_ne_bytes());

    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    // The answer is a header and an error number, which is negative, or zero for success.
    let mut answer = [0_u8; 64];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let errno = answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match errno {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}
