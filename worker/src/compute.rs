//! What computes: a CPU through flex, or a GPU through wgpu.

use burn::tensor::{Device, DeviceKind};
use std::fmt;
use std::str::FromStr;

/// A compute device, as written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compute {
    /// The CPU.
    #[default]
    Flex,
    /// A GPU: the best one, or the one of this index among the discrete GPUs.
    Wgpu(Option<usize>),
}

impl Compute {
    /// The Burn device, without autodiff.
    pub fn device(self) -> Device {
        match self {
            Compute::Flex => Device::flex(),
            Compute::Wgpu(None) => Device::wgpu(DeviceKind::DefaultDevice),
            Compute::Wgpu(Some(index)) => Device::wgpu(DeviceKind::DiscreteGpu(index)),
        }
    }

    /// The device kind, without an index.
    pub fn kind(self) -> &'static str {
        match self {
            Compute::Flex => "flex",
            Compute::Wgpu(_) => "wgpu",
        }
    }
}

impl FromStr for Compute {
    type Err = String;

    fn from_str(text: &str) -> Result<Compute, String> {
        match text.split_once(':') {
            None if text == "flex" => Ok(Compute::Flex),
            None if text == "wgpu" => Ok(Compute::Wgpu(None)),
            Some(("wgpu", index)) => index
                .parse()
                .map(|index| Compute::Wgpu(Some(index)))
                .map_err(|_| format!("`{index}` is no index of a GPU; expected wgpu:0, wgpu:1, ...")),
            _ => Err(format!("unknown device `{text}`; expected flex, wgpu or wgpu:N")),
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compute::Wgpu(Some(index)) => write!(f, "wgpu:{index}"),
            other => f.write_str(other.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for text in ["flex", "wgpu", "wgpu:1"] {
            assert_eq!(text.parse::<Compute>().unwrap().to_string(), text);
        }
        assert!("cuda".parse::<Compute>().unwrap_err().contains("expected flex, wgpu"));
        assert!("wgpu:x".parse::<Compute>().is_err());
    }
}
