// A handful of drones for a few dollars a day. The defaults of main.bicep are this size; what decides the bill is said here.
using 'main.bicep'

param ingress = 'iotHub'
param iotHubSku = 'S1'
param throughputUnits = 1
param dronesMaximumThroughput = 0
param instanceMemoryMB = 512
param maximumInstances = 40
param archiveDeleteAfterDays = 60
param dailyLogCapGb = 1
