//! IP addresses and networks.
//!
//! An IPv4 address written as IPv6 (`::ffff:a00:1`) is the IPv4 address: a rule about 10.0.0.0/8 can't be evaded by
//! writing the address otherwise. The dotted form of it (`::ffff:10.0.0.1`) and zones (`fe80::1%eth0`) are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::super::EvaluationError;
use super::super::budget::{Budget, CONVERSION};
use super::super::types::Type;
use super::super::value::Value;
use super::builtin::{Applied, Builtin, Kind, boolean, int, no_overload};

const fn row(
    name: &'static str,
    method: bool,
    parameters: &'static [Kind],
    result: fn(&[Type]) -> Type,
    apply: for<'a> fn(&[Value<'a>], &mut Budget) -> Applied<'a>,
) -> Builtin {
    Builtin { name, method, parameters, result, apply }
}

const IP: &[Kind] = &[Kind::Ip];
const CIDR: &[Kind] = &[Kind::Cidr];
const TEXT: &[Kind] = &[Kind::Text];

pub const BUILTINS: &[Builtin] = &[
    row("ip", false, &[Kind::IpOrText], |_| Type::Ip, |arguments, _| address("ip", arguments).map(Value::Ip)),
    row("isIP", false, TEXT, boolean, |arguments, _| {
        asked("isIP", arguments, |text| parse_ip(text).is_some())
    }),
    row("ip.isCanonical", false, TEXT, boolean, is_canonical),
    row("family", true, IP, int, family),
    row("isUnspecified", true, IP, boolean, |arguments, _| {
        is("isUnspecified", arguments, |ip| ip.is_unspecified(), |ip| ip.is_unspecified())
    }),
    row("isLoopback", true, IP, boolean, |arguments, _| {
        is("isLoopback", arguments, |ip| ip.is_loopback(), |ip| ip.is_loopback())
    }),
    row("isLinkLocalMulticast", true, IP, boolean, |arguments, _| {
        let v4 = |ip: Ipv4Addr| matches!(ip.octets(), [224, 0, 0, _]);
        is("isLinkLocalMulticast", arguments, v4, |ip| {
            ip.segments().first().is_some_and(|s| s & 0xff0f == 0xff02)
        })
    }),
    row("isLinkLocalUnicast", true, IP, boolean, |arguments, _| {
        is("isLinkLocalUnicast", arguments, |ip| ip.is_link_local(), |ip| ip.is_unicast_link_local())
    }),
    row("isGlobalUnicast", true, IP, boolean, |arguments, _| {
        is("isGlobalUnicast", arguments, is_global_v4, is_global_v6)
    }),
    row(
        "cidr",
        false,
        &[Kind::CidrOrText],
        |_| Type::Cidr,
        |arguments, _| network("cidr", arguments).map(Value::Cidr),
    ),
    row("isCIDR", false, TEXT, boolean, |arguments, _| {
        asked("isCIDR", arguments, |text| parse_cidr(text).is_some())
    }),
    row("containsIP", true, &[Kind::Cidr, Kind::IpOrText], boolean, contains_ip),
    row("containsCIDR", true, &[Kind::Cidr, Kind::CidrOrText], boolean, contains_cidr),
    row(
        "ip",
        true,
        CIDR,
        |_| Type::Ip,
        |arguments, _| of_network("ip", arguments, |net| Value::Ip(net.addr())),
    ),
    row(
        "masked",
        true,
        CIDR,
        |_| Type::Cidr,
        |arguments, _| of_network("masked", arguments, |net| Value::Cidr(net.trunc())),
    ),
    row("prefixLength", true, CIDR, int, |arguments, _| {
        of_network("prefixLength", arguments, |net| Value::Int(net.prefix_len().into()))
    }),
];

pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let dotted_in_v6 = address.is_ipv6() && text.contains('.');
    (!dotted_in_v6).then(|| address.to_canonical())
}

/// A network with its address as written: bits beyond the prefix are kept until `masked`.
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let network: IpNet = text.parse().ok()?;
    // A mapped IPv4 network would have to be read with another prefix length than it was written with.
    let mapped = matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    let written =
        text.split_once('/').is_some_and(|(_, length)| !length.starts_with(['0', '+']) || length == "0");
    (!mapped && written).then_some(network)
}

fn address(name: &'static str, arguments: &[Value<'_>]) -> Result<IpAddr, EvaluationError> {
    match arguments.last() {
        Some(Value::Ip(address)) => Ok(*address),
        Some(Value::Text(text)) => parse_ip(text).ok_or(EvaluationError::Conversion("an IP address")),
        _ => Err(no_overload(name, arguments)),
    }
}

fn network(name: &'static str, arguments: &[Value<'_>]) -> Result<IpNet, EvaluationError> {
    match arguments.last() {
        Some(Value::Cidr(network)) => Ok(*network),
        Some(Value::Text(text)) => parse_cidr(text).ok_or(EvaluationError::Conversion("a CIDR")),
        _ => Err(no_overload(name, arguments)),
    }
}

fn asked<'a>(name: &'static str, arguments: &[Value<'a>], ask: fn(&str) -> bool) -> Applied<'a> {
    match arguments {
        [Value::Text(text)] => Ok(Value::Bool(ask(text))),
        _ => Err(no_overload(name, arguments)),
    }
}

fn is_canonical<'a>(arguments: &[Value<'a>], budget: &mut Budget) -> Applied<'a> {
    budget.spend(3 * CONVERSION)?;
    let canonical = address("ip.isCanonical", arguments)?.to_string();
    Ok(Value::Bool(matches!(arguments, [Value::Text(text)] if *text == canonical)))
}

fn family<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Ip(address)] => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        _ => Err(no_overload("family", arguments)),
    }
}

fn is<'a>(
    name: &'static str,
    arguments: &[Value<'a>],
    v4: fn(Ipv4Addr) -> bool,
    v6: fn(Ipv6Addr) -> bool,
) -> Applied<'a> {
    match arguments {
        [Value::Ip(IpAddr::V4(address))] => Ok(Value::Bool(v4(*address))),
        [Value::Ip(IpAddr::V6(address))] => Ok(Value::Bool(v6(*address))),
        _ => Err(no_overload(name, arguments)),
    }
}

/// Private addresses are global unicast here, as in Go's and Kubernetes' sense of the word.
fn is_global_v4(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_link_local() || ip.is_broadcast())
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_unicast_link_local())
}

fn contains_ip<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Cidr(network), _] => Ok(Value::Bool(network.contains(&address("containsIP", arguments)?))),
        _ => Err(no_overload("containsIP", arguments)),
    }
}

fn contains_cidr<'a>(arguments: &[Value<'a>], _: &mut Budget) -> Applied<'a> {
    match arguments {
        [Value::Cidr(outer), _] => Ok(Value::Bool(outer.contains(&network("containsCIDR", arguments)?))),
        _ => Err(no_overload("containsCIDR", arguments)),
    }
}

fn of_network<'a>(
    name: &'static str,
    arguments: &[Value<'a>],
    ask: fn(&IpNet) -> Value<'static>,
) -> Applied<'a> {
    match arguments {
        [Value::Cidr(network)] => Ok(ask(network)),
        _ => Err(no_overload(name, arguments)),
    }
}
