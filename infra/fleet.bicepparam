// 10,000 drones, 2,500 events a second, 216 million a day.
using 'main.bicep'

param ingress = 'iotHub'
// 300 million messages a day.
param iotHubSku = 'S3'
param iotHubUnits = 1
// 2,500 events a second in ask for 3; the fourth is for catching up.
param throughputUnits = 4
param maximumThroughputUnits = 10
// Three days: a weekend and a Monday morning.
param retentionHours = 72
// 1,050 writes a second at 10 RU, and half as much again for bursts: every drone once in the wait of a batch.
param dronesMaximumThroughput = 15000
param alertsMaximumThroughput = 4000
param storageSku = 'Standard_ZRS'
param instanceMemoryMB = 2048
// Of each function, not of the app.
param maximumInstances = 200
// At a steady load an instance that is always there is cheaper than one that is started on demand.
param alwaysReady = [
  { name: 'http', instanceCount: 1 }
  { name: 'function:UpdateDroneState', instanceCount: 1 }
  { name: 'function:ArchiveTelemetry', instanceCount: 1 }
  { name: 'function:RaiseAlerts', instanceCount: 1 }
]
// A drone reports every 5 seconds: at 10 two or three of its events become one write. With largestEventKb, how many events
// make a batch: it must hold what comes in that time, or it goes before.
param batchWait = '00:00:10'
// 2,500 events a second x 10 seconds are always on their way; only beyond that are instances added.
param eventsPerInstance = 50000
param alertOnSilence = true
param availabilityTestMinutes = 5
param logRetentionDays = 90
param dailyLogCapGb = 20
