// The echo for Node.js.
exports.handler = async (event) => event;
