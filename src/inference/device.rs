//! What computes: the cores of this machine, or a GPU.

use candle_core::Device;

use super::engine::EngineError;
use crate::config::DeviceChoice;

/// Whether this program was compiled for CUDA: nothing else asks.
const CUDA: bool = cfg!(feature = "cuda");

/// The device of a choice; `auto` is the first GPU, or the cores where there is none.
///
/// Errors: CUDA was asked for by its name, and is not there.
pub(super) fn open(choice: DeviceChoice) -> Result<Device, EngineError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto if !CUDA => Ok(Device::Cpu),
        DeviceChoice::Auto => Device::new_cuda(0).or_else(|error| {
            tracing::info!(%error, "there is no GPU that can be used: models are computed on the CPU");
            Ok(Device::Cpu)
        }),
        DeviceChoice::Cuda if !CUDA => Err(refused("this program was compiled without it (`--features cuda`)")),
        DeviceChoice::Cuda => Device::new_cuda(0).map_err(|error| refused(&error.to_string())),
    }
}

fn refused(why: &str) -> EngineError {
    EngineError::Choice(format!("device is cuda, and {why}: choose cpu or auto"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_refused_by_name_and_passed_over_by_auto() {
        assert!(open(DeviceChoice::Cpu).expect("the cores are always there").is_cpu());
        let is_cpu = open(DeviceChoice::Auto).expect("something computes").is_cpu();
        match open(DeviceChoice::Cuda) {
            Ok(device) => assert!(device.is_cuda() && !is_cpu, "where there is a GPU, `auto` takes it"),
            Err(error) => assert!(is_cpu && error.to_string().starts_with("device is cuda, and "), "{error}"),
        }
    }
}
