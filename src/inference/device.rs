//! What computes: the cores of this machine, or a GPU.

use candle_core::{DType, Device, Result, Tensor};

use super::engine::EngineError;
use super::kernels::pool::Pool;
use crate::config::DeviceChoice;

/// Whether this program was compiled for CUDA: nothing else asks.
const CUDA: bool = cfg!(feature = "cuda");

/// What computes a model.
#[derive(Clone)]
pub enum Compute {
    /// The kernels, on the cores of this machine.
    Kernels(Pool),
    /// Candle's own operations, with products of matrices, and what they are made of, in `dtype`.
    Tensors { device: Device, dtype: DType },
}

impl Compute {
    /// Encoders in f16, whose numbers layer norms keep small.
    pub(super) fn of_encoders(device: &Device, pool: &Pool) -> Self {
        Self::of(device, pool, DType::F16)
    }

    /// Decoders in bf16: some have larger numbers than f16 knows.
    pub(super) fn of_decoders(device: &Device, pool: &Pool) -> Self {
        Self::of(device, pool, DType::BF16)
    }

    fn of(device: &Device, pool: &Pool, half: DType) -> Self {
        if device.is_cpu() {
            return Self::Kernels(pool.clone());
        }
        let dtype = if knows(device, half) { half } else { DType::F32 };
        Self::Tensors { device: device.clone(), dtype }
    }
}

/// Whether a device has the operations of a type: older GPUs have none in bf16.
fn knows(device: &Device, dtype: DType) -> bool {
    let all = || -> Result<Vec<f32>> {
        let x = Tensor::ones((8, 8), DType::F32, device)?.to_dtype(dtype)?;
        (&x + x.matmul(&x)?)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
    };
    all().is_ok_and(|sums| sums.iter().all(|sum| *sum == 9.0))
}

/// The device of a choice; `auto` is the first GPU, or the cores where there is none.
///
/// Errors: CUDA was asked for by its name, and is not there.
pub(super) fn open(choice: DeviceChoice) -> std::result::Result<Device, EngineError> {
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

    #[test]
    fn a_type_is_taken_where_its_operations_give_what_they_should() {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            assert!(knows(&Device::Cpu, dtype), "candle adds and multiplies {dtype:?}");
        }
        assert!(!knows(&Device::Cpu, DType::F8E4M3), "it multiplies no matrices of 8 bits");
    }
}
