select r.state, l.epoch = $2
from rebuilds r join rebuild_leases l on l.projection = r.projection
where r.projection = $1
