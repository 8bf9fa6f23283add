// What is loaded when a waiting interpreter rehearses: a handler of the other kind.

export const handler = async (event) => event;
