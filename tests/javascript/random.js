// Reproducible noise for tests: a linear congruential generator (Numerical Recipes), uniform in [0, 1).

export const noise = (seed) => {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(1_664_525, state) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
};
