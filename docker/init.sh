#!/bin/sh
# Makes what the regions need and no image holds: certificates, keys, access keys, configurations. Run again, it keeps what is there.
#   init.sh TOPOLOGY OUT [GEODYNAMO]
set -eu
topology=$1 out=$2 geodynamo=${3:-geodynamo}

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

"$geodynamo" certs --topology "$topology" --out "$out/certs" >/dev/null
cp "$topology" "$out/topology.toml"
if [ ! -e "$out/credentials.env" ]; then
  (umask 077 && printf 'AWS_ACCESS_KEY_ID=AKIA%s\nAWS_SECRET_ACCESS_KEY=%s\n' \
    "$(random 8 | tr a-f A-F)" "$(random 20)" >"$out/credentials.env.new")
  mv "$out/credentials.env.new" "$out/credentials.env"
fi
. "$out/credentials.env"
# Where a browser on the host finds the regions' data ports, if not at the topology's addresses: `region = "url", …`.
endpoints=${CONSOLE_ENDPOINTS:-}
network=0
for region in us-east-1 eu-west-1 ap-northeast-1; do
  [ -e "$out/keys/$region.key" ] || "$geodynamo" keys new "$out/keys/$region.key"
  network=$((network + 1))
  (umask 077 && cat >"$out/$region.toml.new" <<END
region = "$region"
node = "$region"
data_dir = "${DATA_DIR:-/var/lib/geodynamo}/$region"
topology = "topology.toml"

[listen]
data = "0.0.0.0:8000"
admin = "0.0.0.0:8001"
replication = "0.0.0.0:8002"

[cluster_tls]
cert = "certs/$region.pem"
key = "certs/$region.key"
ca = "certs/ca.pem"

[access]
cluster_key_file = "certs/cluster.key"

[encryption]
key_file = "keys/$region.key"

[archive]
url = "${DATA_DIR:-/var/lib/geodynamo}/archive"

[console]
wan = "http://10.77.$network.2:9090"
endpoints = { $endpoints }

[[credentials]]
access_key_id = "$AWS_ACCESS_KEY_ID"
secret_access_key = "$AWS_SECRET_ACCESS_KEY"
END
  )
  mv "$out/$region.toml.new" "$out/$region.toml"
done
echo "ready: $out"
