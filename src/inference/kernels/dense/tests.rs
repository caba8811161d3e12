//! Each form of the kernels against the plain computation.

use super::super::memory::tests::sum;
use super::super::memory::{Fixed, LAYOUT};
use super::super::pool::Pool;
use super::lane::{Isa, Lane, Op};
use super::math::{exp2, gelu};
use super::pack::{from_bf16, pack, to_bf16};
use super::*;

/// Numbers of -1 to 1, the same ones every time.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// By its series, and beyond 3 by the continued fraction of what is missing to one.
fn erf(x: f64) -> f64 {
    if x < 0.0 {
        return -erf(-x);
    }
    let scale = 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp();
    if x < 3.0 {
        let (mut term, mut sum) = (x, 0.0);
        for n in 1..120 {
            sum += term;
            term *= 2.0 * x * x / (2 * n + 1) as f64;
        }
        return scale * sum;
    }
    let fraction = (1..60).rev().fold(x, |below, n| x + n as f64 / 2.0 / below);
    1.0 - scale / 2.0 / fraction
}

fn gelu_f64(x: f64) -> f64 {
    x / 2.0 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for isa in Isa::available() {
        forms.push(Form::F32 { isa: *isa, rounded: false });
    }
    forms.push(Form::F32 { isa: Isa::best(), rounded: true });
    #[cfg(target_arch = "x86_64")]
    {
        if bf16::available() {
            forms.push(Form::Bf16);
        }
        if amx::available() {
            forms.push(Form::Amx);
        }
    }
    forms
}

struct Case {
    out: usize,
    input: usize,
    rows: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    x: Vec<f32>,
}

impl Case {
    fn new(out: usize, input: usize, rows: usize) -> Self {
        let scale = 2.0 / (input as f32).sqrt();
        let weight = noise(out * input, 1).into_iter().map(|x| x * scale).collect();
        Self { out, input, rows, weight, bias: noise(out, 2), x: noise(rows * input, 3) }
    }

    fn plain(&self, rounded: bool, activation: Activation) -> Vec<f64> {
        let of = |x: &f32| if rounded { f64::from(from_bf16(to_bf16(*x))) } else { f64::from(*x) };
        let x: Vec<_> = self.x.iter().map(of).collect();
        let weight: Vec<_> = self.weight.iter().map(of).collect();
        let mut y = Vec::new();
        for row in x.chunks_exact(self.input) {
            for (weight, bias) in weight.chunks_exact(self.input).zip(&self.bias) {
                let sum = row.iter().zip(weight).map(|(x, w)| x * w).sum::<f64>() + f64::from(*bias);
                y.push(if activation == Activation::Gelu { gelu_f64(sum) } else { sum });
            }
        }
        y
    }
}

fn hold(case: &Case, threads: usize) {
    let pool = Pool::new(threads).unwrap();
    for activation in [Activation::None, Activation::Gelu] {
        let plain = [false, true].map(|rounded| case.plain(rounded, activation));
        for form in forms() {
            let layer = DenseLinear::in_form(form, &case.weight, Some(&case.bias), [case.out, case.input]);
            let mut y = vec![f32::NAN; case.rows * case.out];
            layer.forward(&case.x, case.rows, &mut y, activation, &pool);
            let rounded = !matches!(form, Form::F32 { rounded: false, .. });
            for (at, (y, plain)) in y.iter().zip(&plain[usize::from(rounded)]).enumerate() {
                let off = (f64::from(*y) - plain).abs();
                let Case { out, input, rows, .. } = case;
                assert!(
                    off < 2e-6 + 3e-7 * (*input as f64).sqrt(),
                    "{form:?} of {rows} x {input} x {out}, place {at}: {y}, not {plain}"
                );
            }
        }
    }
}

#[test]
fn layers_of_any_size_are_as_the_plain_computation() {
    for out in [1, 33, 384] {
        for input in [1, 31, 384, 1536] {
            for rows in [1, 2, 5, 12, 13, 100] {
                if out * input * rows <= 33 * 1536 * 100 || rows == 13 {
                    hold(&Case::new(out, input, rows), 1 + rows % 3);
                }
            }
        }
    }
}

#[test]
fn many_rows_are_as_the_plain_computation() {
    hold(&Case::new(384, 384, 100), 2);
    hold(&Case::new(65, 130, 1000), 3);
}

#[test]
fn no_rows_and_no_inputs_give_nothing_and_the_bias() {
    let pool = Pool::new(2).unwrap();
    for form in forms() {
        let layer = DenseLinear::in_form(form, &[], Some(&[1.5, -2.0]), [2, 0]);
        layer.forward(&[], 0, &mut [], Activation::None, &pool);
        let mut y = [0.0; 6];
        layer.forward(&[], 3, &mut y, Activation::None, &pool);
        assert_eq!(y, [1.5, -2.0, 1.5, -2.0, 1.5, -2.0], "{form:?}: the bias, where nothing is added to it");
    }
}

#[test]
fn what_is_not_a_number_stays_in_its_row() {
    let pool = Pool::new(2).unwrap();
    let mut case = Case::new(40, 70, 35);
    case.x[70 * 3 + 5] = f32::NAN;
    case.x[70 * 20 + 69] = f32::INFINITY;
    for form in forms() {
        let layer = DenseLinear::in_form(form, &case.weight, Some(&case.bias), [40, 70]);
        let mut y = vec![0.0; 35 * 40];
        layer.forward(&case.x, 35, &mut y, Activation::Gelu, &pool);
        for (row, y) in y.chunks_exact(40).enumerate() {
            let finite = y.iter().all(|y| y.is_finite());
            assert_eq!(finite, row != 3 && row != 20, "{form:?}: only the rows with such input are not finite: {row}");
        }
        assert!(y[3 * 40..4 * 40].iter().all(|y| y.is_nan()), "{form:?}: not a number stays so");
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let pool = Pool::new(2).unwrap();
    let case = Case::new(96, 384, 77);
    for form in forms() {
        let layer = DenseLinear::in_form(form, &case.weight, None, [96, 384]);
        let (mut all, mut one) = (vec![0.0; 77 * 96], vec![0.0; 96]);
        layer.forward(&case.x, 77, &mut all, Activation::Gelu, &pool);
        for row in [0, 13, 50, 76] {
            layer.forward(&case.x[row * 384..][..384], 1, &mut one, Activation::Gelu, &pool);
            assert_eq!(one, all[row * 96..][..96], "{form:?}: row {row} alone is as among others");
        }
    }
}

struct Map<'a>(&'a mut [f32], bool);

impl Op for Map<'_> {
    #[inline(always)]
    unsafe fn run<V: Lane>(self) {
        for lane in self.0.chunks_exact_mut(V::WIDTH) {
            // SAFETY: the chunk is a lane.
            unsafe {
                let x = V::load(lane.as_ptr());
                let y = if self.1 { exp2(x) } else { gelu(x) };
                y.store(lane.as_mut_ptr());
            }
        }
    }
}

#[test]
fn exp2_and_gelu_are_as_near_as_they_say() {
    for isa in Isa::available() {
        let x: Vec<f32> = (0..1 << 18).map(|i| -126.0 + i as f32 * (252.0 / 262_144.0)).collect();
        let (mut powers, mut gelus) = (x.clone(), x.iter().map(|x| x / 10.0).collect::<Vec<_>>());
        // SAFETY: `Map` asks for nothing.
        unsafe {
            isa.run(Map(&mut powers, true));
            isa.run(Map(&mut gelus, false));
        }
        for (x, power) in x.iter().zip(powers) {
            let off = (f64::from(power) / f64::from(*x).exp2() - 1.0).abs();
            assert!(off < 2e-7, "{isa:?}: 2^{x} is off by {off}");
        }
        for (x, gelu) in x.iter().map(|x| x / 10.0).zip(gelus) {
            let off = (f64::from(gelu) - gelu_f64(f64::from(x))).abs() / f64::from(x.abs().max(1.0));
            assert!(off < 6e-7, "{isa:?}: gelu of {x} is {gelu}, off by {off}");
        }
    }
}

#[test]
fn bf16_is_the_nearest_and_of_two_the_even_one() {
    for (x, nearest) in [(1.0, 1.0), (1.003_906_3, 1.0), (1.003_906_4, 1.007_812_5), (1.011_718_8, 1.015_625)] {
        assert_eq!(from_bf16(to_bf16(x)), nearest, "{x}");
        assert_eq!(from_bf16(to_bf16(-x)), -nearest, "-{x}");
    }
    assert_eq!(from_bf16(to_bf16(f32::MAX)), f32::INFINITY, "beyond what bf16 holds");
    assert_eq!(from_bf16(to_bf16(f32::NEG_INFINITY)), f32::NEG_INFINITY, "what was infinite");
    assert!(from_bf16(to_bf16(f32::from_bits(0x7f80_0001))).is_nan(), "not a number, not infinite");
}

#[test]
fn it_says_what_it_takes() {
    let layer = DenseLinear::new(&[0.5; 33 * 31], None, 33, 31, Precision::F32);
    assert_eq!((layer.out_features(), layer.in_features()), (33, 31), "what it was made with");
    let least = 33 * 31 * size_of::<f32>();
    assert!((least..4 * least).contains(&layer.bytes()), "{} bytes for 33 x 31", layer.bytes());
    assert!(Precision::best() == Precision::F32 || forms().len() > 3, "bf16 only where the processor has it");
}

#[test]
fn weights_lie_as_the_number_of_the_layout_says() {
    let weight: Vec<f32> = (0..20 * 31).map(|n| n as f32 * 0.25).collect();
    let bytes = |packed: &Fixed<f32>| sum(packed.as_bytes());
    let [narrow, wide] = [8, 32].map(|columns| bytes(&pack(&weight, [20, 31], [columns, 31, 1], |x| x).into()));
    let halves: Fixed<u16> = pack(&weight, [20, 31], [32, 32, 2], to_bf16).into();
    let of_layout_1 = [7921591841465767055, 13280118186843611475, 3838945271187520780];
    assert_eq!((LAYOUT, [narrow, wide, sum(halves.as_bytes())]), (1, of_layout_1), "another layout has another number");
}
