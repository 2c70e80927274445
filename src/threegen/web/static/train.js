export const makeTrain = () => {};
