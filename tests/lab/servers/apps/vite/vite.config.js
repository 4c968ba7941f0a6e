// The tests ask for the host "test", which Vite answers only when told so.
export default { server: { allowedHosts: true } };
