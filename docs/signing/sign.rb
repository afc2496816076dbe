require 'json'
require 'openssl'

def encode(data) = [data].pack('m0').tr('+/', '-_').delete('=')

# A token for a user. Add scope: 'kairan:publish' to publish.
def sign(user_id, secret, seconds: 3600, **claims)
  now = Time.now.to_i
  body = claims.merge(sub: user_id.to_s, iat: now, exp: now + seconds)
  unsigned = [{ alg: 'HS256', typ: 'JWT' }, body].map { encode(_1.to_json) }.join('.')
  "#{unsigned}.#{encode(OpenSSL::HMAC.digest('SHA256', secret, unsigned))}"
end

puts sign(ARGV[0], ENV.fetch('JWT_SECRET'))
