export const GET = () => new Response('here\n');
