-- Sends the requests of a file one after the other, and says as JSON what came of it.
local requests = {}
local sent = 0

function init(arguments)
  local file = io.open(arguments[1], "rb")
  for request in file:read("*a"):gmatch("%Z+") do
    requests[#requests + 1] = request
  end
  file:close()
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency, _)
  local percentiles = {}
  for _, percentile in ipairs({ 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9 }) do
    percentiles[#percentiles + 1] = string.format("[%g, %f]", percentile, latency:percentile(percentile) / 1e3)
  end
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %f, "refused": %d, "failures": %d, "percentiles": [%s]}',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, table.concat(percentiles, ", ")
  ))
end
