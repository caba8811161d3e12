//! Functions of lanes, by polynomials.

use super::lane::Lane;

/// `2^x` for `x` of -126 to 127, within 2e-7 of it relatively.
///
/// Source: Cephes, `exp2f`: the whole powers apart, and a polynomial for what is left.
#[inline(always)]
pub fn exp2<V: Lane>(x: V) -> V {
    let whole = x.round();
    let rest = x.sub(whole);
    let mut sum = x.all(1.535_336_2e-4);
    for term in [1.339_887_4e-3, 9.618_438e-3, 5.550_332_6e-2, 2.402_264_8e-1, 6.931_472e-1, 1.0] {
        sum = sum.mul_add(rest, x.all(term));
    }
    sum.mul(whole.pow2())
}

/// `x / 2 * (1 + erf(x / sqrt 2))`, within 6e-7 of it, or of its size where it is above 1.
///
/// Source: the rational approximation of erf of Eigen, which is one beyond 4.
#[inline(always)]
pub fn gelu<V: Lane>(x: V) -> V {
    let z = x.mul(x.all(std::f32::consts::FRAC_1_SQRT_2));
    let z = z.all(4.0).min(z.all(-4.0).max(z));
    let square = z.mul(z);
    let mut over = z.all(-2.726_142_3e-10);
    for term in [2.770_681_4e-8, -2.101_024_1e-6, -5.692_506_4e-5, -7.349_906_4e-4, -2.954_6e-3, -1.609_603_3e-2] {
        over = over.mul_add(square, z.all(term));
    }
    let mut under = z.all(-1.456_607_2e-5);
    for term in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_473_9e-2] {
        under = under.mul_add(square, z.all(term));
    }
    let erf = over.mul(z).mul(under.recip());
    let half = x.mul(x.all(0.5));
    half.mul_add(erf, half)
}
