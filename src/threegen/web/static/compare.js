export const makeCompare = () => {};
