require 'json'

# Puma writes its own title over its command line.
told = -> { { env: ENV.to_h, argv: nil }.to_json }
run ->(env) { [200, { 'content-type' => 'text/plain' }, [env['PATH_INFO'] == '/env' ? told.call : "here\n"]] }
