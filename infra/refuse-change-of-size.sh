#!/bin/sh
# Refuses to deploy a size over another one: what the two differ in cannot be changed in place.
#   sh infra/refuse-change-of-size.sh GROUP try|fleet
set -eu
group=$1
size=$2
file="$(dirname "$0")/$size.bicepparam"
prefix=$(printf %s "${DRONES_NAME:-drones}" | tr '[:upper:]' '[:lower:]' | tr -d -)

# What the size asks for; what its file leaves out has the template's default.
asked() {
  value=$(sed -n "s/^param $1 = '\{0,1\}\([^']*\)'\{0,1\}$/\1/p" "$file")
  printf %s "${value:-$2}"
}
throughput=$(asked dronesMaximumThroughput 0)
redundancy=$(asked storageSku Standard_LRS)

# 1 for a serverless account, 0 for one of provisioned throughput, nothing where there is none.
serverless=$(az cosmosdb list --resource-group "$group" --output tsv \
  --query "[?starts_with(name, 'cosmos-$prefix-')].length(capabilities[?name=='EnableServerless'])")
storage=$(az storage account list --resource-group "$group" --output tsv \
  --query "[?starts_with(name, 'stdata$prefix')].sku.name")

refused=
case "$serverless-$throughput" in
  1-0 | -*) ;;
  1-*) refused="the Cosmos DB account is serverless, and $size is of provisioned throughput" ;;
  *-0) refused="the Cosmos DB account is of provisioned throughput, and $size is serverless" ;;
esac
if [ -n "$storage" ] && [ "$storage" != "$redundancy" ]; then
  refused="${refused:+$refused; }the storage accounts are $storage, and $size has $redundancy"
fi
if [ -n "$refused" ]; then
  echo "$group cannot become $size in place: $refused." >&2
  echo "Deploy $size into a second group, or migrate these services first: infra/README.md, \"From try to fleet\"." >&2
  exit 1
fi
