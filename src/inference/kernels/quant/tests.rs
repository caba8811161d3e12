use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};

use super::super::memory::tests::sum;
use super::super::memory::{Kept, LAYOUT};
use super::*;

const TYPES: [GgmlDType; 11] = {
    use GgmlDType::*;
    [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4K, Q5K, Q6K, F16, BF16, F32]
};

/// Numbers of about a normal distribution, the same each time.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (0..4).map(|_| self.uniform()).sum()).collect()
    }
}

struct Case {
    layer: QuantLinear,
    /// What candle makes of the blocks, `[out, in]`.
    weights: Vec<f32>,
}

fn case(dtype: GgmlDType, out: usize, width: usize, random: &mut Random) -> Case {
    let values: Vec<f32> = random.values(out * width).iter().map(|value| value * 0.02 + 0.001).collect();
    let values = Tensor::from_vec(values, (out, width), &Device::Cpu).unwrap();
    let tensor = QTensor::quantize(&values, dtype).unwrap();
    let weights = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    Case { layer: QuantLinear::from_ggml(dtype, &tensor.data().unwrap(), out, width).unwrap(), weights }
}

fn plain(weights: &[f32], x: &[f32], width: usize) -> Vec<f64> {
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
    x.chunks(width).flat_map(|x| weights.chunks(width).map(move |w| dot(x, w))).collect()
}

fn distance(got: &[f32], wanted: &[f64]) -> f64 {
    got.iter().zip(wanted).map(|(got, wanted)| (f64::from(*got) - wanted).powi(2)).sum::<f64>().sqrt()
}

fn relative(got: &[f32], wanted: &[f64]) -> f64 {
    distance(got, wanted) / wanted.iter().map(|wanted| wanted * wanted).sum::<f64>().sqrt()
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

fn width(dtype: GgmlDType, width: usize) -> usize {
    width.next_multiple_of(dtype.block_size())
}

#[test]
fn each_kernel_computes_what_the_weights_say() {
    let (pool, mut random) = (Pool::new(2).unwrap(), Random(1));
    for dtype in TYPES {
        for (out, width) in [(1, width(dtype, 32)), (17, width(dtype, 576)), (576, width(dtype, 576)), (17, 1536)] {
            let case = case(dtype, out, width, &mut random);
            for rows in [1, 2, 3, 5, 8, 13, 64] {
                let x = random.values(rows * width);
                let wanted = plain(&case.weights, &x, width);
                // Few products may all have more than the usual error.
                let bound = if rows * out < 16 { 0.03 } else { 0.01 };
                let mut portable = vec![0.0; rows * out];
                forward(Isa::Portable, &[&case.layer], &x, rows, &mut [&mut portable], &pool);
                let exact: Vec<f64> = portable.iter().map(|y| f64::from(*y)).collect();
                // What products of these lengths come to if they are random; a single one may be near 0.
                let size = length(&case.weights) * length(&x) / (width as f64).sqrt();
                for isa in Isa::available() {
                    let mut y = vec![f32::NAN; rows * out];
                    forward(isa, &[&case.layer], &x, rows, &mut [&mut y], &pool);
                    let of = format!("{isa:?}, {dtype:?}, {rows} rows, {out} x {width}");
                    let error = distance(&y, &wanted) / size;
                    assert!(error < bound, "{of}: {error} from the plain product, 8 bits allow {bound}");
                    let error = distance(&y, &exact) / size;
                    assert!(error < 1e-5, "{of}: {error} from the portable kernel, rounding allows 1e-5");
                }
            }
        }
    }
}

#[test]
fn extreme_codes_do_not_overflow() {
    let pool = Pool::new(1).unwrap();
    let layer = |dtype, block: &[u8]| QuantLinear::from_ggml(dtype, &block.repeat(16), 16, 32).unwrap();
    let one = layout::to_half(1.0).to_le_bytes();
    let lowest = [&one[..], &[0x80; 32]].concat();
    let highest = [&one[..], &[0, 0], &[0xff; 20]].concat();
    for (layer, wanted) in [
        (layer(GgmlDType::Q8_0, &lowest), -128.0 * 127.0 * 32.0),
        (layer(GgmlDType::Q5_1, &highest), 31.0 * 127.0 * 32.0),
        (layer(GgmlDType::Q4_1, &highest[..20]), 15.0 * 127.0 * 32.0),
    ] {
        for isa in Isa::available() {
            for sign in [1.0, -1.0] {
                let mut y = [0.0; 16];
                forward(isa, &[&layer], &[127.0 * sign; 32], 1, &mut [&mut y], &pool);
                assert_eq!(y, [wanted * sign; 16], "{isa:?}: every product is as large as it can be");
            }
        }
    }
}

#[test]
fn a_row_is_what_candle_makes_of_it() {
    let mut random = Random(2);
    for dtype in TYPES {
        let width = width(dtype, 576);
        let case = case(dtype, 37, width, &mut random);
        for index in [0, 15, 16, 36] {
            let mut row = vec![0.0; width];
            case.layer.row(index, &mut row);
            let wanted: Vec<f64> = case.weights[index * width..][..width].iter().map(|w| f64::from(*w)).collect();
            let error = relative(&row, &wanted);
            let float = matches!(dtype, GgmlDType::F16 | GgmlDType::BF16 | GgmlDType::F32);
            let bound = if float { 0.01 } else { 1e-3 };
            assert!(error < bound, "{dtype:?}, row {index}: {error}, the rounding of scales allows {bound}");
        }
    }
}

#[test]
fn many_matrices_at_once_are_the_same_as_each_alone() {
    let (pool, mut random) = (Pool::new(2).unwrap(), Random(3));
    let types = [GgmlDType::Q4K, GgmlDType::Q6K, GgmlDType::Q8_0];
    let cases: Vec<_> = types.iter().zip([33, 1, 300]).map(|(t, out)| case(*t, out, 768, &mut random)).collect();
    let layers: Vec<_> = cases.iter().map(|case| &case.layer).collect();
    for rows in [1, 9, 100] {
        let x = random.values(rows * 768);
        let mut together: Vec<_> = layers.iter().map(|layer| vec![0.0; rows * layer.out_features()]).collect();
        let mut ys: Vec<_> = together.iter_mut().map(Vec::as_mut_slice).collect();
        QuantLinear::forward_many(&layers, &x, rows, &mut ys, &pool);
        for (layer, together) in layers.iter().zip(&together) {
            let mut alone = vec![0.0; together.len()];
            layer.forward(&x, rows, &mut alone, &pool);
            assert_eq!(together, &alone, "{rows} rows of {}", layer.out_features());
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let (pool, mut random) = (Pool::new(2).unwrap(), Random(4));
    let case = case(GgmlDType::Q4K, 40, 256, &mut random);
    for isa in Isa::available() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = random.values(3 * 256);
            x[256 + 77] = bad;
            let mut y = vec![0.0; 3 * 40];
            forward(isa, &[&case.layer], &x, 3, &mut [&mut y], &pool);
            assert!(y[40..80].iter().all(|y| y.is_nan()), "{isa:?}: {bad} in row 1 should show in its output");
            assert!(y[..40].iter().chain(&y[80..]).all(|y| y.is_finite()), "{isa:?}: {bad} in row 1 only");
        }
        for tiny in [0.0, f32::MIN_POSITIVE, 1e-45, 1e-31] {
            let mut y = vec![1.0; 40];
            forward(isa, &[&case.layer], &[tiny; 256], 1, &mut [&mut y], &pool);
            assert!(y.iter().all(|y| y.abs() < 1e-25), "{isa:?}: {tiny} should give about 0");
        }
    }
}

#[test]
fn weights_of_any_bytes_do_not_panic() {
    let (pool, mut random) = (Pool::new(1).unwrap(), Random(5));
    for dtype in TYPES {
        let bytes = dtype.type_size() * (256 / dtype.block_size()) * 20;
        let data: Vec<u8> = (0..bytes).map(|_| (random.uniform() * 512.0) as i32 as u8).collect();
        let layer = QuantLinear::from_ggml(dtype, &data, 20, 256).unwrap();
        for isa in Isa::available() {
            forward(isa, &[&layer], &random.values(512), 2, &mut [&mut [0.0; 40]], &pool);
        }
        let storage = QStorage::from_data(Cow::Borrowed(&data), &Device::Cpu, dtype);
        assert!(storage.is_ok(), "{dtype:?}: candle takes as many bytes");
    }
}

#[test]
fn no_rows_and_no_outputs_are_no_work() {
    let pool = Pool::new(2).unwrap();
    let layer = QuantLinear::from_ggml(GgmlDType::Q8_0, &[0; 34], 1, 32).unwrap();
    layer.forward(&[], 0, &mut [], &pool);
    let empty = QuantLinear::from_ggml(GgmlDType::Q8_0, &[], 0, 32).unwrap();
    empty.forward(&[1.0; 32], 1, &mut [], &pool);
    assert_eq!((empty.bytes(), layer.bytes()), (0, 576), "a tile of 544 bytes, in whole lines of 64");
}

#[test]
fn what_cannot_be_packed_is_named() {
    let pack = |dtype, bytes: usize, out, width| QuantLinear::from_ggml(dtype, &vec![0; bytes], out, width).err();
    let error = pack(GgmlDType::Q3K, 110, 1, 256).unwrap();
    assert_eq!(error, PackError::Unsupported { dtype: GgmlDType::Q3K });
    assert!(error.to_string().contains("Q3K") && error.to_string().contains("Q4_K"), "{error}");
    let width = PackError::Width { dtype: GgmlDType::Q4_0, in_features: 33, multiple: 32 };
    assert_eq!(pack(GgmlDType::Q4_0, 18, 1, 33), Some(width), "33 inputs");
    let width = PackError::Width { dtype: GgmlDType::Q6K, in_features: 32, multiple: 256 };
    assert_eq!(pack(GgmlDType::Q6K, 210, 1, 32), Some(width), "32 inputs of Q6_K");
    let size = PackError::Size { dtype: GgmlDType::Q4_0, out_features: 2, in_features: 32, bytes: 35 };
    assert_eq!(pack(GgmlDType::Q4_0, 35, 2, 32), Some(size), "a byte too few");
    assert!(pack(GgmlDType::Q4_0, 36, usize::MAX, 32).is_some(), "more outputs than memory");
}

#[test]
fn every_16_bit_float_comes_back() {
    for half in 0..=u16::MAX {
        let value = layout::from_half(half);
        let back = layout::to_half(value);
        assert!(back == half || value.is_nan() && layout::from_half(back).is_nan(), "{half:#x} came back as {back:#x}");
    }
    for (value, half) in [(65_519.0, 0x7bff), (65_520.0, 0x7c00), (1.000_488_3, 0x3c00), (1.001_464_8, 0x3c02)] {
        assert_eq!(layout::to_half(value), half, "{value} to the nearest, or the even one");
    }
}

#[test]
fn weights_lie_as_the_number_of_the_layout_says() {
    let sums = [GgmlDType::Q4_1, GgmlDType::Q5K, GgmlDType::Q6K, GgmlDType::Q8_0].map(|dtype| {
        let count = 20 * 256 / dtype.block_size() * dtype.type_size();
        let blocks: Vec<u8> = (0..count).map(|n| (n * 7 + n / 100) as u8).collect();
        let matrix = QuantLinear::from_ggml(dtype, &blocks, 20, 256).unwrap();
        sum(&[matrix.head(), matrix.weights().to_vec()].concat())
    });
    let of_layout_1 = [4632909116723801806, 10450387937025208265, 8976032197797745344, 4839536592147054227];
    assert_eq!((LAYOUT, sums), (1, of_layout_1), "another layout has another number");
}
