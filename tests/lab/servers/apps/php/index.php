<?php
header('Content-Type: text/plain');
// php-fpm writes its own title over its command line.
echo $_SERVER['REQUEST_URI'] === '/env' ? json_encode(['env' => getenv(), 'argv' => null]) : "here\n";
