export const saveSnapshot = () => {};
