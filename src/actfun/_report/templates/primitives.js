"use strict";
const inf = Infinity, nan = NaN;
const DENSITY = 0.3989422804014327; // 1/√(2π)
const where = (condition, x, y) => (condition ? x : y);
const { abs: absolute, exp, expm1, sqrt, log, log1p, sin, cos, tanh } = Math;
const copysign = (x, y) => (y < 0 || Object.is(y, -0) ? -absolute(x) : absolute(x));
const decay = (x, y) => y * exp(-x);
const gaussian_decay = (x, y) => y * exp(-0.5 * x * x);
const cubic_decay = (x, y) => {
  const t = Math.min(absolute(x), 100);
  return y * exp(-1.5957691216057308 * (t + 0.044715 * t * t * t));
};
// x + x³/3 + x⁵/(3·5) + …: (Φ(x) - 1/2)/φ(x), right for |x| ≤ 2.5.
const ndtr_series = (x) => {
  let term = x, sum = x;
  for (let k = 3; k < 90; k += 2) { term *= (x * x) / k; sum += term; }
  return sum;
};
const ndtr_scaled = (x) => {
  if (x < 2.5) return 0.5 * exp(0.5 * x * x) - DENSITY * ndtr_series(x);
  let fraction = x; // Laplace's
  for (let k = 60; k > 0; k--) fraction = x + k / fraction;
  return DENSITY / fraction;
};
const erf = (x) => {
  const z = Math.SQRT2 * absolute(x);
  if (z < 2.5) return 2 * gaussian_decay(z, DENSITY * ndtr_series(Math.SQRT2 * x));
  return copysign(1 - 2 * gaussian_decay(z, ndtr_scaled(z)), x);
};
