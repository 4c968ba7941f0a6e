// A server on Node's own http module; told to stop, it answers what it has accepted and ends.
const http = require('node:http');
const { told } = require('./told.cjs');

const server = http.createServer((request, response) =>
  response.end(request.url === '/env' ? JSON.stringify(told()) : 'here\n'),
);
server.listen({ fd: 3 });
process.on('SIGTERM', () => server.close());
