// An Express application that keeps the length of the queue systemd gave its socket.
const express = require('express');
const { told } = require('./told.cjs');

const app = express();
app.get('/', (request, response) => response.send('here\n'));
app.get('/env', (request, response) => response.json(told()));
const server = app.listen({ fd: 3 }, 4096);
process.on('SIGTERM', () => server.close());
