//! Colour maps, and scales of values.

use super::scene::Rgb;

/// From values to colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColourMap {
    /// Black to white.
    Grey,
    /// Viridis, perceptually even, readable for all kinds of colour vision (van der Walt, Smith, 2015).
    Viridis,
    /// Blue over white at 0 to red (ColorBrewer's RdBu, turned round).
    Diverging,
}

const VIRIDIS: [u32; 9] = [0x440154, 0x472c7a, 0x3b518b, 0x2c718e, 0x21908d, 0x27ad81, 0x5cc863, 0xaadc32, 0xfde725];
const DIVERGING: [u32; 11] =
    [0x053061, 0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xf7f7f7, 0xfddbc7, 0xf4a582, 0xd6604d, 0xb2182b, 0x67001f];

impl ColourMap {
    /// The colour at a share from 0 to 1; what is no number is magenta.
    pub fn at(self, share: f64) -> Rgb {
        if share.is_nan() {
            return [255, 0, 255];
        }
        let stops: &[u32] = match self {
            ColourMap::Grey => &[0x000000, 0xffffff],
            ColourMap::Viridis => &VIRIDIS,
            ColourMap::Diverging => &DIVERGING,
        };
        let place = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
        let i = (place as usize).min(stops.len() - 2);
        let part = place - i as f64;
        let byte = |stop: u32, c: usize| f64::from(stop >> (16 - 8 * c) & 255);
        std::array::from_fn(|c| (byte(stops[i], c) * (1.0 - part) + byte(stops[i + 1], c) * part).round() as u8)
    }
}

/// A colour map over a range of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub map: ColourMap,
    pub low: f64,
    pub high: f64,
}

impl Scale {
    /// Viridis from the smallest to the largest value; if there are negative ones, diverging, as far to both sides of 0.
    pub fn of<'a>(values: impl Iterator<Item = &'a f32>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| {
            (low.min(f64::from(v)), high.max(f64::from(v)))
        });
        if low < 0.0 { Self::around_zero(low.abs().max(high)) } else { Scale { map: ColourMap::Viridis, low, high } }
    }

    /// Diverging, as far to both sides of 0.
    pub fn symmetric<'a>(values: impl Iterator<Item = &'a f32>) -> Self {
        Self::around_zero(values.fold(0.0f64, |most, v| most.max(f64::from(v.abs()))))
    }

    fn around_zero(most: f64) -> Self {
        Scale { map: ColourMap::Diverging, low: -most, high: most }
    }

    /// Where a value is on the scale, 0 to 1.
    pub fn share(&self, value: f32) -> f64 {
        let span = self.high - self.low;
        if span > 0.0 { (f64::from(value) - self.low) / span } else { 0.5 }
    }

    pub fn colour(&self, value: f32) -> Rgb {
        self.map.at(self.share(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lightness (the L* of CIELAB) of a colour.
    fn lightness(colour: Rgb) -> f64 {
        let linear = colour.map(|c| {
            let c = f64::from(c) / 255.0;
            if c > 0.04045 { ((c + 0.055) / 1.055).powf(2.4) } else { c / 12.92 }
        });
        let y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        if y > 0.008856 { 116.0 * y.cbrt() - 16.0 } else { 903.3 * y }
    }

    #[test]
    fn viridis_is_as_published_and_evenly_lighter() {
        assert_eq!((ColourMap::Viridis.at(0.0), ColourMap::Viridis.at(1.0)), ([68, 1, 84], [253, 231, 37]));
        let steps: Vec<f64> = (0..=16).map(|i| lightness(ColourMap::Viridis.at(f64::from(i) / 16.0))).collect();
        for pair in steps.windows(2) {
            assert!((2.5..7.5).contains(&(pair[1] - pair[0])), "{steps:?}");
        }
    }

    #[test]
    fn zero_is_white_and_both_sides_reach_as_far() {
        let scale = Scale::of([-1.0, 4.0].iter());
        assert_eq!((scale.map, scale.low, scale.high), (ColourMap::Diverging, -4.0, 4.0));
        assert_eq!(scale.colour(0.0), [0xf7; 3]);
        assert!(scale.colour(4.0)[0] > scale.colour(4.0)[2] && scale.colour(-4.0)[0] < scale.colour(-4.0)[2]);
        assert_eq!(scale.colour(f32::NAN), [255, 0, 255]);
        let positive = Scale::of([0.25, 1.0].iter());
        assert_eq!((positive.map, positive.colour(0.25)), (ColourMap::Viridis, [68, 1, 84]));
        assert_eq!(Scale::of([0.0f32; 2].iter()).colour(0.0), ColourMap::Viridis.at(0.5));
    }
}
